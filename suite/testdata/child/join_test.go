package child

import (
	"encoding/json"
	"net"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// invite is SetUpShared. Of what it answers with, CHILD_INVITES changes a value,
// as in version=2. When everything has been cleaned up, it notes whether those
// who ask still get an answer.
func invite(ctx SpecContext) []byte {
	if len(labels) == 0 { // a clean-up would have process 1 wait
		return hosts.SetUpShared(ctx)
	}
	at := ""
	DeferCleanup(func() {
		if conn, err := net.Dial("tcp", at); err == nil {
			conn.Close()
			note("still answers")
		}
	})
	told := hosts.SetUpShared(ctx)
	var invitation map[string]any
	Expect(json.Unmarshal(told, &invitation)).To(Succeed())
	at, _ = invitation["at"].(string)
	key, value, ok := strings.Cut(os.Getenv("CHILD_INVITES"), "=")
	if !ok {
		return told
	}
	invitation[key] = json.RawMessage(value)
	told, err := json.Marshal(invitation)
	Expect(err).NotTo(HaveOccurred())
	return told
}

// join is Join. A host that it has made known may be used.
func join(ctx SpecContext, told []byte) {
	hosts.Join(ctx, told)
	if does == "around" {
		noteAll()
	}
}
