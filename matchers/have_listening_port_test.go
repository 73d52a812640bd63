package matchers_test

import (
	"testing"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
)

const sockets = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4 1 0 100 0 0 10 0
`

const triedSockets = "tried: cat /proc/net/tcp /proc/net/tcp6 2>/dev/null\n"

func TestHaveListeningPort(t *testing.T) {
	host := answers(t, fixture.Result{Stdout: sockets})
	passes(t, HaveListeningPort(22), host, text(host, `Expected
    %s, as tester
not to have a listening port 22
`+triedSockets+`found: listening ports 22, 80
attempts: 1`))
	fails(t, HaveListeningPort(8080), host, text(host, `Expected
    %s, as tester
to have a listening port 8080
`+triedSockets+`found: listening ports 22, 80
attempts: 1`))
}

func TestHaveListeningPortFailsIfNothingListens(t *testing.T) {
	host := answers(t, fixture.Result{Stdout: "  sl  local_address rem_address   st\n", ExitCode: 1})
	fails(t, HaveListeningPort(80), host, text(host, `Expected
    %s, as tester
to have a listening port 80
`+triedSockets+`found: nothing listens on any port
attempts: 1`))
}

func TestHaveListeningPortWithoutATableIsAnError(t *testing.T) {
	host := answers(t, fixture.Result{ExitCode: 1})
	unknown(t, HaveListeningPort(80), host, text(host, `cannot check
    %s, as tester
to have a listening port 80
`+triedSockets+`last error: reading the table of sockets: the command exited with 1, stdout empty, stderr empty
attempts: 1`))
	unknown(t, HaveListeningPort(0), host, "HaveListeningPort: 0 is not a port number from 1 to 65535")
}
