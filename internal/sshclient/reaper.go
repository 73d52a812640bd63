package sshclient

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/overcast-go/overcast/internal/shell"
)

// Limits of a reaper.
const (
	reapLimit = 10 * time.Second      // for one batch, sessions and logins included
	reapBatch = 500                   // commands whose processes are ended together
	reapFirst = 50 * time.Millisecond // pause before the next SIGKILL
	reapLast  = 500 * time.Millisecond
)

// A reaper ends the processes of cancelled commands. It uses one session at a
// time, for all commands that were cancelled since the last one.
type reaper struct {
	client *Client

	mu      sync.Mutex
	running map[*mark]bool // commands that run and are not cancelled
	waiting []*reapRequest
	working bool
	closed  bool

	abandoned bool // nothing is sent any longer
}

// A reapRequest asks for the end of a command's processes.
type reapRequest struct {
	mark *mark
	done chan struct{}
}

// add is called before a command is started. It reports whether it may be
// started.
func (r *reaper) add(m *mark) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running == nil {
		r.running = map[*mark]bool{}
	}
	r.running[m] = true
	return !r.closed
}

func (r *reaper) remove(m *mark) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, m)
}

// close ends the processes of all running commands, and prevents that others
// are started.
func (r *reaper) close() {
	r.mu.Lock()
	r.closed = true
	all := slices.Collect(maps.Keys(r.running))
	r.mu.Unlock()
	if len(all) > 0 {
		r.end(all...)
	}
}

// abandon makes all later attempts to end processes do nothing.
func (r *reaper) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.abandoned = true
}

// end tries to end the processes of commands. A caller also does the work of
// those that call end meanwhile.
func (r *reaper) end(marks ...*mark) {
	mine := make([]*reapRequest, len(marks))
	for i, m := range marks {
		mine[i] = &reapRequest{m, make(chan struct{})}
	}
	r.mu.Lock()
	r.waiting = append(r.waiting, mine...)
	if !r.working {
		r.working = true
		r.work()
	}
	r.mu.Unlock()
	for _, m := range mine {
		<-m.done
	}
}

// work serves the waiting requests. The lock is held, except while reap runs.
func (r *reaper) work() {
	for len(r.waiting) > 0 {
		n := min(len(r.waiting), reapBatch)
		batch := r.waiting[:n:n]
		r.waiting = r.waiting[n:]
		abandoned := r.abandoned
		r.mu.Unlock()
		if !abandoned {
			r.reap(batch)
		}
		for _, b := range batch {
			close(b.done)
		}
		r.mu.Lock()
	}
	r.working = false
}

// reap sends SIGTERM to the processes of a batch. After termGrace it sends
// SIGKILL to those that are left, until none is. It gives up when a session
// fails, and after reapLimit.
func (r *reaper) reap(batch []*reapRequest) {
	ctx, cancel := context.WithTimeout(context.Background(), reapLimit)
	defer cancel()
	left, err := r.signal(ctx, batch, "TERM", nil)
	if err != nil || len(left) == 0 {
		return
	}
	grace, cancelGrace := context.WithTimeout(ctx, termGrace)
	defer cancelGrace()
	if haveEnded(grace, batch) {
		if left, err = r.signal(ctx, batch, "0", left); err == nil && len(left) > 0 {
			<-grace.Done()
		}
	}
	for pause := reapFirst; err == nil && len(left) > 0; pause = min(2*pause, reapLast) {
		if left, err = r.signal(ctx, batch, "KILL", left); err == nil && len(left) > 0 {
			wait, cancelWait := context.WithTimeout(ctx, pause)
			<-wait.Done()
			cancelWait()
		}
	}
}

// haveEnded reports whether the sessions of all commands end before ctx does.
func haveEnded(ctx context.Context, batch []*reapRequest) bool {
	for _, b := range batch {
		select {
		case <-b.mark.ended:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// signal sends a signal to all processes of a batch, and returns their IDs.
// Signal 0 only finds them. before are the IDs that the last call returned.
func (r *reaper) signal(ctx context.Context, batch []*reapRequest, signal string, before []string) ([]string, error) {
	var leaders, patterns []string
	for _, b := range batch {
		if id := b.mark.getLeader(); id > 0 {
			leaders = append(leaders, strconv.Itoa(id))
		}
		// The pattern does not match itself in the command line of the script.
		patterns = append(patterns, "-e", "["+b.mark.text[:1]+"]"+b.mark.text[1:])
	}
	args := append([]string{signal, strings.Join(leaders, " "), strings.Join(before, " ")}, patterns...)
	result, err := r.client.runDirectly(ctx, shell.Script(reapScript, args...))
	if err != nil {
		return nil, err
	}
	if result.ExitCode != 0 {
		return nil, fmt.Errorf("the shell printed %.500q (exit code %d)", strings.TrimSpace(result.Stderr), result.ExitCode)
	}
	return strings.Fields(result.Stdout), nil
}

// reapScript sends a signal ($1) to the processes of commands, and prints the
// IDs of those that it was sent to. Its other arguments are the IDs of the
// commands' shells ($2), the IDs of processes that were found before ($3), and
// the options of grep that find the marks.
//
// It is one line without single quotes, backslashes and exclamation marks,
// because it is quoted for any login shell. On a machine without /proc or grep
// it finds no process. It leaves out itself and its ancestors.
var reapScript = strings.Join([]string{
	`sig=$1; leaders=$2; all=" $3 "; own=" 1 "; table=" "; valid=" "; shift 3`,
	`add() { case $all in *" $1 "*) ;; *) all="$all$1 ";; esac; }`,
	// table has the entry ID:parent:session for each process that has not ended.
	`row() { case $2 in Z|X) ;; *) table="$table$1:$3:$5 ";; esac; }`,
	`for f in /proc/[0-9]*; do read -r s <$f/stat && row ${f#/proc/} ${s##*") "}; done 2>/dev/null`,
	`for f in $(LC_ALL=C grep -ls "$@" /proc/[0-9]*/cmdline /proc/[0-9]*/environ); do f=${f#/proc/}; add ${f%%/*}; done`,
	// above sets up to the parent of a process, or to 0 if the process has ended.
	`above() { up=0; case $table in *" $1:"*) up=${table#*" $1:"}; up=${up%%:*};; esac; }`,
	`p=$$; while [ $p -gt 1 ]; do own="$own$p "; above $p; p=$up; done`,
	// A shell whose ID was given to another process has another parent.
	`for p in $leaders; do above $p; c=sshd; [ $up = 0 ] || read -r c </proc/$up/comm; case $c in sshd*|dropbear*|sudo|su) valid="$valid$p "; add $p;; esac; done 2>/dev/null`,
	// Descendants, and processes of the shells' sessions.
	`n=; while [ "$n" != "$all" ]; do n=$all; for e in $table; do p=${e%%:*}; s=${e##*:}; e=${e#*:}; case $all in *" ${e%%:*} "*) add $p;; esac; case $valid in *" $s "*) add $p;; esac; done; done`,
	`for p in $all; do case $own in *" $p "*) continue;; esac; case $table in *" $p:"*) kill -s $sig $p 2>/dev/null && echo $p;; esac; done`,
	`exit 0`,
}, "; ")

// runDirectly runs a command as Run does, ahead of all callers of Run, and
// during Close as well.
func (c *Client) runDirectly(ctx context.Context, cmd string) (Result, error) {
	out := newOutput(maxBefore)
	e := execution{cmd: cmd, urgent: true, stdout: out.stream(&out.stdout), stderr: out.stream(&out.stderr)}
	verdict := func() error { return nil }
	if c.endpoint.ConnectionType.Elevates() {
		e, verdict = c.elevate(e, out.full)
	}
	handle := newSessionHandle()
	defer context.AfterFunc(ctx, handle.close)()
	status, err := c.runInSession(ctx, handle, e)
	err = errors.Join(err, verdict())
	r := out.result()
	r.ExitCode = status.code
	return r, err
}
