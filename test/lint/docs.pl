# What the documents say is in the code, and what an operator can set is in the documents.
use strict;
use warnings;
use Lint;
use JSON::PP;

my @documents = grep { -f $_ }
  (qw(README.md ARCHITECTURE.md SECURITY.md CHANGELOG.md), files('docs', qr/\.md$/));
my %text = map { $_ => slurp($_) } @documents;
my $readme = $text{'README.md'};
my $errors_page = $text{'docs/errors.md'};

# --- what there is ------------------------------------------------------------------------------------------------------

my (%function, %object, %column);
foreach my $file (grep { !m{^sql/dibs--} } files('sql', qr/\.sql$/))
{
	my $sql = slurp($file);
	$sql =~ s/--[^\n]*//g;
	while ($sql =~ /CREATE\s+OR\s+REPLACE\s+(?:FUNCTION|PROCEDURE)\s+dibs\.(\w+)\s*(\((?:[^()]++|(?2))*\))(?:\s*RETURNS\s+(TABLE|SETOF\s+\w+|[\w"\.\[\]]+(?:\(\d+\))?))?/gi)
	{
		my ($name, $arguments, $result) = ($1, $2, $3);
		push @{ $function{$name} }, signature(substr($arguments, 1, -1), $result);
		$object{$name} = 1;
	}
	$object{$1} = 1 while $sql =~ /CREATE\s+(?:OR\s+REPLACE\s+)?(?:VIEW|TABLE|TYPE)\s+dibs\.("?\w+"?)/gi;
	while ($sql =~ /CREATE\s+TABLE\s+dibs\."(\w+)"\s*(\((?:[^()']++|'(?:[^']|'')*'|(?2))*\))/gi)
	{
		my ($table, $body) = ($1, $2);
		$column{$table}{$1} = 1 while $body =~ /^\s*"(\w+)"/gm;
	}
}

# A list of arguments as the README writes it: no OUT arguments, short names of types, "= value" for a default.
sub signature
{
	my ($arguments, $result) = @_;
	my @kept;
	while ($arguments =~ /\G\s*((?:[^,()']++|'(?:[^']|'')*'|(\((?:[^()]++|(?2))*\)))+),?/g)
	{
		my $argument = $1;
		next if $argument =~ /^\s*OUT\b/i;
		$argument =~ s/\s+DEFAULT\s+/ = /i;
		push @kept, $argument;
	}
	my $text = join(', ', @kept);
	$text =~ s/\binteger\b/int/gi;
	$text =~ s/\bboolean\b/bool/gi;
	$text =~ s/\bcharacter\b/char/gi;
	$text =~ s/\s+/ /g;
	$text =~ s/^ | $//g;
	return $text;
}

my %setting;
my $guc = c_code(slurp('src/guc.c'));
while ($guc =~ /DefineCustom(\w+)Variable(\((?:[^()"]++|"(?:[^"\\]|\\.)*"|(?2))*\))/g)
{
	my ($type, $call) = ($1, substr($2, 1, -1));
	my @argument;
	push @argument, $1 while $call =~ /\G\s*((?:[^,()"]++|"(?:[^"\\]|\\.)*"|(\((?:[^()"]++|"(?:[^"\\]|\\.)*"|(?2))*\)))+),?/g;
	my ($name) = $argument[0] =~ /"dibs\.(\w+)"/ or next;
	my ($context) = $call =~ /\bPGC_(\w+)/;
	my ($variable) = $argument[3] =~ /&(\w+)/;
	$setting{$name} = { type => $type, default => $argument[4], context => lc $context, variable => $variable,
		unit => $call =~ /GUC_UNIT_(\w+)/ ? lc $1 : '' };
}
die "no settings found in src/guc.c\n" unless %setting;

# --- names --------------------------------------------------------------------------------------------------------------

my %is_file = map { $_ => 1 } qw(c h so sql control key pem conf pl);
my (@unknown, @columns);
foreach my $document (@documents)
{
	my $text = $text{$document};
	while ($text =~ /\bdibs\.("\w+"|\w+)/g)
	{
		my $name = $1;
		next if $object{$name} || $setting{$name} || $is_file{$name};
		push @unknown, "$document:" . line_of($text, $-[0]) . ": dibs.$name";
	}
	# "Table".column and "Table"."column"
	while ($text =~ /"(\w+)"\.(?:"(\w+)"|([a-z]\w*))/g)
	{
		my ($table, $name) = ($1, $2 // $3);
		next unless $column{$table};
		push @columns, "$document:" . line_of($text, $-[0]) . ": \"$table\".$name" unless $column{$table}{$name};
	}
}
rule('every dibs.name in the documents exists', @unknown);
rule('every "Table".column in the documents exists', @columns);

# --- the README's lists ---------------------------------------------------------------------------------------------------

my @signatures;
my %in_readme;
while ($readme =~ /^\| `dibs\.(\w+)(\((?:[^()`]++|(?2))*\))(?: → [^`]+)?`/gm)
{
	my ($name, $arguments) = ($1, substr($2, 1, -1));
	$in_readme{$name} = 1;
	next unless $function{$name};
	my $said = signature($arguments);
	push @signatures, "README.md:" . line_of($readme, $-[0]) . ": dibs.$name($said), in sql/: (" . join(') or (', @{ $function{$name} }) . ')'
	  unless grep { $_ eq $said } @{ $function{$name} };
}
rule('the functions in the README have the arguments that they have in sql/', @signatures);

# A default as the README writes it: `text`, on, 64, 30 d.
my %in_base = (
	ms => { ms => 1, s => 1000, min => 60_000, h => 3_600_000, d => 86_400_000 },
	min => { min => 1, h => 60, d => 1440 },
	s => { s => 1, min => 60, h => 3600, d => 86_400 },
	kb => { kB => 1, MB => 1024 });
my @settings;
foreach my $name (sort keys %setting)
{
	my $s = $setting{$name};
	my ($context, $default) = $readme =~ /^\| `dibs\.\Q$name\E` \| (\w+) \| ([^|]*?) \|/m;
	if (!defined $context)
	{
		push @settings, "dibs.$name is not in the README";
		next;
	}
	my %said = (superuser => 'suset', reload => 'sighup', user => 'userset');
	push @settings, "dibs.$name is said to be $context" unless ($said{$context} // '') eq $s->{context};
	my $real = $s->{default};
	if ($s->{type} eq 'String')
	{
		($real) = $real =~ /^"(.*)"$/;
		$default =~ s/^`(.*)`$/$1/;
		$default = '' if $default eq '(empty)';
	}
	elsif ($s->{type} eq 'Bool') { $real = $real eq 'true' ? 'on' : 'off'; }
	elsif ($s->{type} eq 'Enum')
	{
		$default =~ s/^`(.*)`$/$1/;
		my ($value) = $guc =~ /\{"\Q$default\E",\s*(\w+)/;
		$default = $value // $default;
	}
	else
	{
		$real = eval $real;
		if ($s->{unit} && $default =~ /^(\d+) (\w+)$/ && $in_base{ $s->{unit} }{$2})
		{
			$default = $1 * $in_base{ $s->{unit} }{$2};
		}
	}
	push @settings, "dibs.$name has the default $real, the README says $default" unless $real eq $default;
}
rule('every setting is in the README, with its context and default', @settings);

# What is declared for later is said to have no effect, and only that.
my $code = join("\n", map { c_code(slurp($_)) } grep { !m{^src/guc\.} } files('src', qr/\.[ch]$/));
my $script = join("\n", map { slurp($_) } grep { !m{^sql/dibs--} } files('sql', qr/\.sql$/));
my @idle;
foreach my $name (sort keys %setting)
{
	my $used = $code =~ /\b\Q$setting{$name}{variable}\E\b/ || $script =~ /current_setting\('dibs\.\Q$name\E'/;
	my $said = $readme =~ /^\| `dibs\.\Q$name\E` \|.*\bNo effect yet\b/m;
	push @idle, "dibs.$name " . ($used ? 'is read' : 'is read nowhere') if $used ? $said : !$said;
}
rule('the README says of each setting that has no effect yet that it has none', @idle);

# Secrets of dibs' own have such names, too.
my %own_secret = map { $_ => 1 } qw(canary sealing_key);
my @hints;
foreach my $file (files('src', qr/\.[ch]$/), grep { !m{^sql/dibs--} } files('sql', qr/\.sql$/))
{
	my $text = slurp($file);
	while ($text =~ /\bdibs\.([a-z]\w*)/g)
	{
		next if $object{$1} || $setting{$1} || $is_file{$1} || $own_secret{$1};
		push @hints, "$file:" . line_of($text, $-[0]) . ": dibs.$1";
	}
}
rule('no comment, hint or message names a function or setting that does not exist', @hints);

rule('every table is in the README', map { "\"$_\"" } grep { $readme !~ /^\| `"$_"` \|/m } sort keys %column);

# Codes that an application can meet in "meetingErrorCode", and SQLSTATEs.
my %code;
foreach my $file (map { files("src/$_", qr/\.c$/) } qw(meeting worker account queue))
{
	my $c = c_code(slurp($file));
	$code{$1} = $file while $c =~ /DIBS_VERDICT_\w+,\s*"(\w+)"/g;
	$code{$1} = $file while $c =~ /\berror_code\s*=\s*"(\w+)"/g;
	$code{$1} = $file while $c =~ /\bcode\s*=\s*"(\w+)"/g;
	$code{$1} = $file while $c =~ /\bDIBS_ZOOM_\w+,\s*"(\w+)"/g;
	$code{$1} = $file while $c =~ /\bhand_out\(work,\s*"(\w+)"/g;
}
rule('every error code of a meeting is in docs/errors.md',
	map { "$_ ($code{$_})" } grep { $errors_page !~ /^\| [^|]*`$_`[^|]* \|/m } sort keys %code);

my %raised;
my $errors = slurp('src/errors.h');
while ($errors =~ m{#define (DIBS_ERR_\w+) \w+ /\* (\w{5}) \*/}g)
{
	my ($name, $state) = ($1, $2);
	$raised{$state} = 1 if grep { slurp($_) =~ /\b$name\b/ } files('src', qr/\.c$/);
}
$raised{$1} = 1 while $script =~ /\bERRCODE = '(\w{5})'/g;
rule('every SQLSTATE that dibs raises is in docs/errors.md', grep { $errors_page !~ /^\| `$_` \|/m } sort keys %raised);

my @triggers;
my $calcom = c_code(slurp('src/calendar/calcom.c'));
if ($calcom =~ /CalTrigger triggers\[\] = \{(.*?)\};/s)
{
	my $table = $1;
	while ($table =~ /\{"(\w+)"/g)
	{
		push @triggers, $1 unless $readme =~ /^\| [^|]*`$1`/m;
	}
}
else { push @triggers, 'no table of triggers found in src/calendar/calcom.c'; }
rule('every trigger that src/calendar/calcom.c knows is in the README', @triggers);

# --- ARCHITECTURE.md's table of statuses ------------------------------------------------------------------------------------

my @statuses;
my $status = c_code(slurp('src/booking/status.c'));
my %found;
while ($status =~ /\[DIBS_STATUS_(\w+)\]\s*=\s*\{"\w+",\s*([^,]+),\s*([^,]+),/g)
{
	my ($from, @next) = ($1, $2, $3);
	$found{$from} = 1;
	my @row = $text{'ARCHITECTURE.md'} =~ /^\| $from \|([^|]*)\|([^|]*)\|$/m;
	foreach my $column (0, 1)
	{
		my $real = join(' ', sort $next[$column] =~ /BIT\((\w+)\)/g);
		my $said = join(' ', sort(($row[$column] // '-') =~ /\w+/g));
		push @statuses, "$from: $real in status.c, $said in ARCHITECTURE.md" if $real ne $said;
	}
}
push @statuses, 'no table of statuses found in src/booking/status.c' if keys %found != 7;
rule('ARCHITECTURE.md has the transitions of src/booking/status.c', @statuses);

# --- links --------------------------------------------------------------------------------------------------------------

sub anchors
{
	my ($markdown) = @_;
	my %anchor;
	$markdown =~ s/^```.*?^```//gms;
	while ($markdown =~ /^#+ +(.+?) *$/gm)
	{
		my $slug = lc $1;
		$slug =~ s/`//g;
		$slug =~ s/[^\w\- ]//g;
		$slug =~ s/ /-/g;
		$anchor{$slug} = 1;
	}
	return \%anchor;
}

my @links;
foreach my $document (@documents)
{
	my $text = $text{$document};
	(my $prose = $text) =~ s/^(```.*?^```)/(my $blank = $1) =~ s|[^\n]||g; $blank/gmse;
	while ($prose =~ /\]\(([^)\s]+)\)/g)
	{
		my $target = $1;
		my $where = "$document:" . line_of($prose, $-[0]);
		next if $target =~ m{^(?:https?|mailto):};
		my ($path, $anchor) = $target =~ /^([^#]*)(?:#(.*))?$/;
		my $file = $document;
		if ($path ne '')
		{
			(my $folder = $document) =~ s{[^/]*$}{};
			$file = "$folder$path";
			1 while $file =~ s{[^/]+/\.\./}{};
			push @links, "$where: $target" and next unless -e $file;
		}
		push @links, "$where: $target" if defined $anchor && !anchors($text{$file} // slurp($file))->{$anchor};
	}
	# files of this tree that are named in back quotes
	while ($text =~ /`((?:src|sql|test|scripts|docs|bench)\/[\w.\/-]+)`/g)
	{
		push @links, "$document:" . line_of($text, $-[0]) . ": $1" unless -e $1 || $1 =~ m{^sql/dibs--|/NAME\.};
	}
}
rule('every link and every named file leads somewhere', @links);

# `name` in `src/file.c`
my @places;
foreach my $document (@documents)
{
	my $text = $text{$document};
	while ($text =~ /((?:`\w+`(?:,\s+)?)+)\s+in\s+`(src\/[\w\/.]+)`/g)
	{
		my ($names, $file) = ($1, $2);
		my $where = "$document:" . line_of($text, $-[0]);
		foreach my $name ($names =~ /\w+/g)
		{
			push @places, "$where: $name is not in $file" unless -f $file && slurp($file) =~ /\b\Q$name\E\b/;
		}
	}
}
rule('what a document says stands in a file stands there', @places);

# --- META.json ------------------------------------------------------------------------------------------------------------

my @meta;
my $meta = eval { decode_json(slurp('META.json')) } or push @meta, "META.json: $@";
if ($meta)
{
	my ($version) = slurp('dibs.control') =~ /^default_version\s*=\s*'([^']+)'/m;
	# PGXN wants a semantic version: 0.1dev is 0.1.0-dev there
	(my $semantic = $version) =~ s/^(\d+\.\d+)(?=\D|$)/$1.0/;
	$semantic =~ s/^(\d+\.\d+\.\d+)(\w)/$1-$2/;
	push @meta, "version is $meta->{version}, dibs.control says $version" unless $meta->{version} eq $semantic;
	push @meta, 'provides.dibs.version' unless $meta->{provides}{dibs}{version} eq $semantic;
	push @meta, 'provides.dibs.file' unless $meta->{provides}{dibs}{file} eq "sql/dibs--$version.sql";
	push @meta, "there is no $meta->{provides}{dibs}{docfile}" unless -f $meta->{provides}{dibs}{docfile};
	push @meta, "$_ is missing"
	  for grep { !$meta->{$_} } qw(name abstract maintainer license provides meta-spec);
}
rule('META.json is the one of this version', @meta);
finish();
