# The scripts parse, and shellcheck has nothing to say.
use strict;
use warnings;
use Lint;

my @shell = grep { (slurp($_) =~ /\A(?:#![^\n]*\bbash|# shellcheck shell=bash)/) } map { files($_, qr/./) } qw(scripts .ci bench test);
my @syntax;
foreach my $file (@shell)
{
	my $said = `bash -n '$file' 2>&1`;
	push @syntax, "$file: $said" if $?;
}
rule('the shell scripts parse', @syntax);

my @offences = `shellcheck -x -P SCRIPTDIR -S warning -f gcc @shell 2>&1`;
push @offences, 'shellcheck could not be run' if $? == -1;
chomp @offences;
rule('shellcheck is content', @offences);

my @executable = grep { slurp($_) =~ /\A#!/ && !-x $_ } map { files($_, qr/./) } qw(scripts .ci bench test);
rule('what begins with #! may be run', @executable);
finish();
