# Every C file is as .clang-format has it. Releases of clang-format differ; 14 is the one that decides.
use strict;
use warnings;
use Lint;

my ($program) = grep { (`$_ --version 2>/dev/null` // '') =~ /version 14\./ } qw(clang-format-14 clang-format);
if (!$program)
{
	print "1..0 # SKIP no clang-format 14 here\n";
	exit 0;
}
my @offences;
foreach my $file (map { files($_, qr/\.[ch]$/) } qw(src test/unit test/fuzz))
{
	my @lines = grep { /error|warning/ } `$program -n --Werror '$file' 2>&1`;
	next unless $?;
	my ($first) = ($lines[0] // '') =~ /:(\d+):\d+:/;
	push @offences, sprintf('%s:%s (%d places)', $file, $first // '?', scalar @lines);
}
rule('clang-format has nothing to change', @offences);
finish();
