# Rules for the SQL of the script and of the C files.
use strict;
use warnings;
use Lint;

# The statements of a script as [line, text], comments blanked, dollar-quoted bodies and strings kept whole.
sub statements
{
	my ($text) = @_;
	my @found;
	my ($statement, $start) = ('', 0);
	while ($text =~ /\G(?:(--[^\n]*|\/\*.*?\*\/)|(\$(\w*)\$.*?\$\3\$)|('(?:[^']|'')*')|("(?:[^"]|"")*")|(;)|(.))/gs)
	{
		if (defined $1) { (my $blank = $1) =~ s/[^\n]/ /g; $statement .= $blank; }
		elsif (defined $6)
		{
			my ($lead) = $statement =~ /^(\s*)/;
			push @found, [ line_of($text, $start + length $lead), $statement ] if $statement =~ /\S/;
			($statement, $start) = ('', pos $text);
		}
		else { $statement .= $&; }
	}
	return @found;
}

# What sql/access.sql's table knows, by name.
my ($access) = slurp('sql/access.sql') =~ /FUNCTION dibs\.access_table\(\)(.*?)\$\$;/s;
my %known = map { $_ => 1 } map { split ' ' } ($access // '') =~ /^\s*\('([\w ]+)', '[^']*'\)/gm;

my (@definer, @public, @conflict, @replace, @levels);
foreach my $file (grep { !m{^sql/dibs--} } files('sql', qr/\.sql$/))
{
	my $text = slurp($file);
	foreach my $statement (statements($text))
	{
		my ($line, $sql) = @$statement;
		(my $head = $sql) =~ s/\$(\w*)\$.*?\$\1\$//gs;
		push @definer, "$file:$line"
		  if $head =~ /\bSECURITY\s+DEFINER\b/i && $head !~ /\bSET\s+search_path\s*(?:=|TO)\s*'?pg_catalog\b/i;
		push @public, "$file:$line" if $sql =~ /\bGRANT\b[^;]*\bTO\s+(?:\w+\s*,\s*)*PUBLIC\b/i;
		push @replace, "$file:$line"
		  if $head =~ /^\s*CREATE\s+(?!OR\s+REPLACE\b)(?:FUNCTION|PROCEDURE|VIEW)\b/i;
	}
	while ($text =~ /\bON\s+CONFLICT\s*\([^)]*\)(?!\s*WHERE\b)/gi)
	{
		push @conflict, "$file:" . line_of($text, $-[0]);
	}
	while ($text =~ /^\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE|VIEW|TABLE)\s+dibs\.("\w+"|\w+)/gim)
	{
		(my $name = $1) =~ tr/"//d;
		push @levels, "$file:" . line_of($text, $-[1]) . ": $name" unless $known{$name};
	}
}
foreach my $file (files('src', qr/\.[ch]$/))
{
	my $code = c_code(slurp($file));
	while ($code =~ /\bON\s+CONFLICT\s*\([^)]*\)(?!\s*WHERE\b)/g)
	{
		push @conflict, "$file:" . line_of($code, $-[0]);
	}
}
rule('every SECURITY DEFINER function pins search_path, pg_catalog first', @definer);
rule('nothing is granted to PUBLIC', @public);
rule('every table, view and function has its levels in dibs.access_table(), sql/access.sql (no level: for dibs alone)', @levels);
rule('functions and views are CREATE OR REPLACE, so that an upgrade can include the same text', @replace);
rule('an upsert names its constraint, unless a partial index is meant (what scale-out needs)', @conflict);
finish();
