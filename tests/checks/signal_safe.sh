#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# signal_safe.sh PROGRAM: what runs where no lock may be taken and nothing allocated calls async-signal-safe functions only: the launcher
# with what it does between fork and exec or a child's start, the signal handlers, and what runs in the child of any fork.
# PROGRAM is a linked program (or the shared library); its machine code is followed from there. Skipped (77) without objdump, and
# on other processors than x86-64, whose instructions it does not know.
#
# Followed are direct calls and functions whose address is taken; a call through a pointer is an error. The boundary is child_main:
# whoever gets there is a process of its own that was forked from one with a single thread, so no lock is held there by anybody.
set -eu
program=$1
command -v objdump >/dev/null && [ "$(uname -m)" = x86_64 ] || exit 77

said=$(mktemp)
trap 'rm -f "$said"' EXIT
objdump -d --no-show-raw-insn "$program" | awk '
  BEGIN {
    # launcher_main; on_terminate and on_interrupt of a child, on_interrupt of the first process; after_fork_in_child, after_user_fork
    roots = "_ZN8cloister8internal13launcher_mainERKNS0_16launcher_contextE" \
      " _ZN8cloister8internal12_GLOBAL__N_112on_terminateEi _ZN8cloister8internal12_GLOBAL__N_112on_interruptEi" \
      " _ZN8cloister8internal12_GLOBAL__N_114on_child_endedEi _ZN8cloister12_GLOBAL__N_112on_interruptEi" \
      " _ZN8cloister6detail12_GLOBAL__N_119after_fork_in_childEv _ZN8cloister6detail10membership15after_user_forkEv"
    boundary = "^_ZN8cloister8internal10child_mainE"
    # signal-safety(7), fork as glibc makes it, and calls of Linux that are nothing but the system call.
    safe = " _exit clock_gettime close dup2 fcntl fork getpid getrlimit kill memcpy memmove memset open poll pread read recvmsg sendmsg sigaction" \
      " sigaddset sigemptyset signal sigprocmask stat waitpid write" \
      " eventfd memfd_create prctl setrlimit syscall sched_yield __errno_location __cmsg_nxthdr "
    # Ways of being ended by a bug.
    safe = safe " abort __stack_chk_fail __cxa_begin_catch __cxa_end_catch _Unwind_Resume _ZSt9terminatev _ZSt21__glibcxx_assert_failPKciS0_S0_ "
  }
  # The function that a name in <> stands for, without offset and version; and the one that the compiler made it from.
  function plain(name) { sub(/[+]0x.*/, "", name); sub(/@.*/, "", name); return name }
  function base(name) { sub(/[.](cold|part|isra|constprop|lto_priv|clone).*/, "", name); return name }

  /^[0-9a-f]+ <.*>:$/ {
    here = $2
    sub(/^</, "", here)
    sub(/>:$/, "", here)
    if (here ~ /@plt/) here = ""
    else clones[base(here)] = clones[base(here)] " " here
    next
  }
  here == "" { next }
  /[ \t]callq?[ \t]+\*/ && !/<.*>/ { indirect[here] = $0; next }
  /<[^>]*>/ {
    name = $0
    sub(/^[^<]*</, "", name)
    sub(/>.*/, "", name)
    if (plain(name) == here) next  # a jump within the function
    called = /[ \t](call|jmp)q?[ \t]/
    if (name ~ /[+]0x/ && !called) next
    edges[here] = edges[here] " " plain(name) (called ? "" : "?")
  }

  END {
    n = split(roots, queue, " ")
    for (i = 1; i <= n; ++i) {
      if (!(queue[i] in clones)) print "not found: " queue[i]
      seen[queue[i]] = 1
      from[queue[i]] = ""
    }
    for (i = 1; i <= n; ++i) {
      m = split(clones[queue[i]], bodies, " ")
      for (b = 1; b <= m; ++b) {
        body = bodies[b]
        if (body in indirect) print "calls through a pointer: " queue[i] from[queue[i]]
        k = split(edges[body], to, " ")
        for (j = 1; j <= k; ++j) {
          name = to[j]
          taken = sub(/[?]$/, "", name)
          name = base(name)
          if (name in seen || name ~ boundary) continue
          if (name in clones) {
            seen[name] = 1
            queue[++n] = name
            from[name] = "  <- " queue[i] from[queue[i]]
          } else if (!taken && index(safe, " " name " ") == 0) {
            seen[name] = 1
            print "not async-signal-safe: " name "  <- " queue[i] from[queue[i]]
          }
        }
      }
    }
    if (n < 20) print "only " n " functions found"
  }' >"$said"
if command -v c++filt >/dev/null; then c++filt <"$said"; else cat "$said"; fi
[ ! -s "$said" ]
