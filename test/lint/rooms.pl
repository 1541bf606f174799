# Where things may stand: no room reaches up, each library has one room, versions of PostgreSQL one file.
use strict;
use warnings;
use Lint;

# A room may use those of a lower or the same rank. (The server has folders named access and so on, too.)
my %rank = (
	core => 0,
	crypto => 1, http => 1,
	secrets => 2, queue => 2, access => 2,
	booking => 3, account => 3,
	calendar => 4, meeting => 4, webhook => 4, join => 4,
	worker => 5);

# What lies beside the rooms and is for all of them.
my %common = map { $_ => 1 } qw(compat.h errors.h guc.h);

my (@unknown, @upward, @spi, @curl, @openssl, @versions);
foreach my $file (files('src', qr/\.[ch]$/))
{
	my ($room) = $file =~ m{^src/([^/]+)/};
	my $text = slurp($file);
	my $code = c_code($text, 1);
	my @lines = split /\n/, c_code($text);

	push @unknown, $file if defined $room && !exists $rank{$room};
	for my $i (0 .. $#lines)
	{
		my $where = "$file:" . ($i + 1);
		my $line = $lines[$i];
		if ($line =~ /^\s*#\s*include\s*"([^"]+)"/ && defined $room && exists $rank{$room})
		{
			my $header = $1;
			if ($header =~ m{^([^/]+)/} && exists $rank{$1} && -f "src/$header")
			{
				push @upward, "$where: $room includes $header" if $rank{$1} > $rank{$room};
			}
			elsif ($header !~ m{/} && -f "src/$header" && !$common{$header})
			{
				push @upward, "$where: $room includes $header";
			}
			push @spi, "$where: $room includes $header"
			  if $header eq 'executor/spi.h' && $rank{$room} <= $rank{http};
		}
		push @versions, $where
		  if $file ne 'src/compat.h' && $line =~ /^\s*#\s*(?:el)?if\b.*\b(?:PG_VERSION_NUM|PG_MAJORVERSION_NUM|\w+_VERSION_(?:NUM|NUMBER|MAJOR))\b/;
		push @curl, $where if ($room // '') ne 'http' && $line =~ m{^\s*#\s*include\s*[<"]curl/};
		push @openssl, $where if ($room // '') ne 'crypto' && $line =~ m{^\s*#\s*include\s*[<"]openssl/};
	}
	while (($room // '') ne 'http' && $code =~ /\b(curl_\w+|CURL\w*)\b/g)
	{
		push @curl, "$file:" . line_of($code, $-[0]) . ": $1";
	}
	while (($room // '') ne 'crypto'
		&& $code =~ /\b((?:EVP|OPENSSL|BIO|X509|CMS|RAND|PEM|OSSL|SSL|PKCS\d+|CRYPTO|ERR)_[a-z]\w*|HMAC(?=\s*\())/g)
	{
		push @openssl, "$file:" . line_of($code, $-[0]) . ": $1";
	}
}
rule('every folder of src is a known room', @unknown);
rule('no room includes a header of a room above it', @upward);
rule('core, crypto and http know no SPI', @spi);
rule('libcurl is named in src/http alone', @curl);
rule('OpenSSL is named in src/crypto alone', @openssl);
rule('a version is asked for in src/compat.h alone', @versions);
finish();
