# Every error has a SQLSTATE and a message in the server's style; nothing is left half done.
use strict;
use warnings;
use Lint;

# Names that begin a message in capitals because they are names.
my $names = qr/Zoom|Cal\.com|Calendly|Daily|Google|Teams|Jitsi|PostgreSQL|OpenSSL|PostgREST|Supabase|Prisma/;

my (@codes, @messages, @todo);
foreach my $file (files('src', qr/\.[ch]$/))
{
	my $text = slurp($file);
	my $code = c_code($text);
	my $bare = c_code($text, 1);
	while ($bare =~ /\b(ereport|ereport_domain|errsave)\s*(\((?:[^()]++|(?2))*\))/g)
	{
		my ($start, $length) = ($-[2], length $2);
		my $call = substr($code, $start, $length);
		my $where = "$file:" . line_of($bare, $start);
		push @codes, $where unless $call =~ /\berrcode(?:_for_\w+)?\s*\(/;
		while ($call =~ /\berrmsg(?:_internal|_plural)?\s*\(\s*"((?:[^"\\]|\\.)*)"/g)
		{
			my $message = $1;
			push @messages, "$where: $message"
			  if ($message =~ /^[A-Z][a-z]/ && $message !~ /^$names/) || $message =~ /[.!]$|\\n/;
		}
		while ($call =~ /\berr(?:hint|detail)\s*\(\s*"((?:[^"\\]|\\.)*)"\s*[,)]/g)
		{
			push @messages, "$where: $1" unless $1 =~ /[.?!)"]$/ || $1 =~ /%s$/;
		}
	}
}
foreach my $file (files('src', qr/\.[ch]$/), grep { !m{^sql/dibs--} } files('sql', qr/\.sql$/))
{
	my $text = slurp($file);
	while ($text =~ /\b(TODO|FIXME|XXX|HACK)\b/g)
	{
		push @todo, "$file:" . line_of($text, $-[0]);
	}
}
rule('nothing is left to do', @todo);
rule('every ereport has an errcode', @codes);
rule('messages begin in lower case without a full stop, hints and details are sentences', @messages);
finish();
