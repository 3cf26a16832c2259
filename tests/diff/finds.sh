#!/bin/sh
# The runner must find a wrong answer (every 700th is made wrong), say so by its status, and shrink the sequence.
set -u
diff=$1
out=$("$diff" --backend ext4 --ops 3000 --users 1 --corrupt 700 --shrink-seconds 5)
status=$?
printf '%s\n' "$out" | sed 's/^/# /'
case $out in '1..0 # SKIP '*) echo "# skip: ${out#*SKIP }"; exit 77 ;; esac
[ "$status" = 1 ] || { echo "# status $status, not 1"; exit 1; }
case $out in *"difference: "*corrupted*) exit 0 ;; esac
echo "# the difference was not printed"
exit 1
