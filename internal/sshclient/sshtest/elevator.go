package sshtest

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fakeSudo takes the options that sudo takes, asks for FAKE_PASSWORD if there
// is one, and tells the command by BECAME that it went this way.
const fakeSudo = `#!/bin/sh
echo "sudo: unable to resolve host" >&2
while :; do case $1 in
	-n) never=1; shift;;
	-u) user=$2; shift 2;;
	-p) prompt=$2; shift 2;;
	*) break;;
esac; done
if [ "$user" = stranger ]; then
	echo "Sorry, user tester is not allowed to execute '$*' as stranger." >&2; exit 1
fi
if [ -n "$FAKE_PASSWORD" ]; then
	[ -z "$never" ] || { echo "sudo: a password is required" >&2; exit 1; }
	for try in 1 2 3; do
		printf %s "$prompt"; read -r answer
		[ "$answer" != "$FAKE_PASSWORD" ] || break
		[ $try != 3 ] || exit 1
		echo "Sorry, try again."
	done
fi
BECAME=$user exec "$@"
`

// fakeSu asks in the machine's language, and ends after a wrong answer.
const fakeSu = `#!/bin/sh
printf 'Passwort: '; read -r answer
[ "$answer" = "$FAKE_PASSWORD" ] || { echo "su: Authentication failure"; exit 1; }
user=$1; shift
BECAME=$user exec /bin/sh "$@"
`

// StartElevator starts a server whose sudo and su are the fake ones.
func StartElevator(t testing.TB, password string, more Config) *Server {
	t.Helper()
	bin := t.TempDir()
	for name, text := range map[string]string{"sudo": fakeSudo, "su": fakeSu} {
		// A process that another test starts meanwhile would have the file open for
		// writing, and the file could not be executed: https://go.dev/issue/22315.
		syscall.ForkLock.RLock()
		err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755)
		syscall.ForkLock.RUnlock()
		if err != nil {
			t.Fatal(err)
		}
	}
	more.Env = append(more.Env, "PATH="+bin+":"+os.Getenv("PATH"), "FAKE_PASSWORD="+password)
	return Start(t, more)
}

// URLWithPassword is the URL with a login password, though it is let in by
// key.
func (s *Server) URLWithPassword(password string, parameters ...string) string {
	u := s.URL(parameters...)
	if password == "" {
		return u
	}
	return strings.Replace(u, "tester@", "tester:"+password+"@", 1)
}
