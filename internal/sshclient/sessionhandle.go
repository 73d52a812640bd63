package sshclient

import (
	"sync"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

// How long a command may take to end.
const (
	termGrace   = 500 * time.Millisecond // after SIGTERM
	signalGrace = 100 * time.Millisecond // after SIGKILL, until the server reports it
)

// A sessionHandle ends a session from outside, whether it is open yet or not.
type sessionHandle struct {
	ended chan struct{} // closed when the work in the session has ended

	mu        sync.Mutex
	session   *session
	stopped   bool
	abandoned bool // the session was closed while its command may still run
}

func newSessionHandle() *sessionHandle { return &sessionHandle{ended: make(chan struct{})} }

// set is called with the session when it is open. It reports whether the
// session is still wanted.
func (h *sessionHandle) set(s *session) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.session = s
	return !h.stopped
}

// stop makes set report false, and returns the session if it is open.
func (h *sessionHandle) stop() *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	return h.session
}

// close closes the session.
func (h *sessionHandle) close() {
	if s := h.stop(); s != nil {
		s.Close()
	}
}

// finish closes the session after its command has ended, or was abandoned.
func (h *sessionHandle) finish(s *session) {
	s.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.abandoned {
		s.abandon()
	} else {
		s.release()
	}
}

// endCommand ends a command by signals of the server. If they have no effect, it
// abandons the session.
func (h *sessionHandle) endCommand() {
	s := h.stop()
	if s == nil {
		return
	}
	s.Signal(xssh.SIGTERM)
	if !h.hasEnded(termGrace) {
		h.kill(s)
	}
}

// endProcesses ends a command whose processes are marked. It uses signals of the
// server last: they may end the shell alone, and then its descendants cannot be
// found. It tries twice because a command that has just been started may not
// have its mark yet.
func (h *sessionHandle) endProcesses(m *mark) {
	s := h.stop()
	if s == nil {
		return
	}
	reaper := &s.pool.client.reaper
	reaper.remove(m)
	for range 2 {
		reaper.end(m)
		if h.hasEnded(signalGrace) {
			return
		}
	}
	h.endCommand()
}

func (h *sessionHandle) kill(s *session) {
	s.Signal(xssh.SIGKILL)
	if !h.hasEnded(signalGrace) {
		h.mu.Lock()
		h.abandoned = true
		h.mu.Unlock()
		s.Close()
	}
}

func (h *sessionHandle) hasEnded(limit time.Duration) bool { return waitTimeout(h.ended, limit, nil) }
