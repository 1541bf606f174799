# 040_zoom.pl over TLS with HTTP/2.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use DibsTest;    # before the script is run: it has INIT blocks behind it

$ENV{DIBS_ZOOM_HTTP2} = 1;
do "$FindBin::RealBin/040_zoom.pl";
die $@ if $@;
