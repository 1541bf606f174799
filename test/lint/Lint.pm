# What the rules of the house share: the list of files, C without its comments, and one TAP line a rule.
package Lint;

use strict;
use warnings;

use Exporter 'import';
use File::Find;

our @EXPORT = qw(files slurp c_code line_of rule finish);

my $count = 0;
my $failed = 0;

# files('src', qr/\.[ch]$/): the files below a folder, sorted
sub files
{
	my ($top, $pattern) = @_;
	my @found;
	return () unless -d $top;
	find({ no_chdir => 1, wanted => sub { push @found, $_ if -f $_ && $_ =~ $pattern } }, $top);
	return sort @found;
}

sub slurp
{
	my ($file) = @_;
	open(my $in, '<', $file) or die "$file: $!\n";
	local $/;
	return scalar <$in>;
}

# C with comments blanked and the lines kept; with a true second argument, the insides of strings as well.
sub c_code
{
	my ($text, $strings) = @_;
	my $blank = sub { my $s = shift; $s =~ s/[^\n]/ /g; $s };
	$text =~ s{(/\*.*?\*/)|(//[^\n]*)|("(?:[^"\\\n]|\\.)*")|('(?:[^'\\\n]|\\.)*')}
		{
			defined $1 ? $blank->($1)
			: defined $2 ? $blank->($2)
			: defined $3 ? ($strings ? '"' . ' ' x (length($3) - 2) . '"' : $3)
			: ($strings ? "'" . ' ' x (length($4) - 2) . "'" : $4)
		}gsex;
	return $text;
}

sub line_of
{
	my ($text, $position) = @_;
	return 1 + (substr($text, 0, $position) =~ tr/\n//);
}

# rule('what must hold', @offences)
sub rule
{
	my ($what, @offences) = @_;
	$count++;
	$failed++ if @offences;
	print((@offences ? 'not ok' : 'ok') . " $count - $what\n");
	print STDERR "$what:\n", map { "  $_\n" } @offences if @offences;
}

sub finish
{
	print "1..$count\n";
	exit($failed ? 1 : 0);
}

1;
