#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# refused.sh SENTENCE SOURCE COMPILER [FLAG...]: the source must not compile, and the compiler must say the sentence.
# A source that mentions CLOISTER_RIGHT must compile when that is defined: so it is refused for the line that is wrong, not for a typing error.
set -eu
sentence=$1
source=$2
shift 2

if grep -q CLOISTER_RIGHT "$source"; then
  if ! said=$("$@" -DCLOISTER_RIGHT -fsyntax-only "$source" 2>&1); then
    printf '%s\n' "$said"
    echo "$source: the right program does not compile either" >&2
    exit 1
  fi
fi

if said=$("$@" -fsyntax-only "$source" 2>&1); then
  echo "$source: compiles, and should not" >&2
  exit 1
fi
case $said in
  *"$sentence"*) exit 0 ;;
esac
printf '%s\n' "$said"
echo "$source: refused, but without the sentence: $sentence" >&2
exit 1
