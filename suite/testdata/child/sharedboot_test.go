package child

import (
	"encoding/json"
	"net"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// setUpShared calls SetUpShared. CHILD_MESSAGE changes a value of its result, as in
// version=2. After the clean-up it logs whether process 1 still listens.
func setUpShared(ctx SpecContext) []byte {
	if len(labels) == 0 { // a clean-up would make process 1 wait for the others
		return hosts.SetUpShared(ctx)
	}
	address := ""
	DeferCleanup(func() {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			note("still answers")
		}
	})
	encoded := hosts.SetUpShared(ctx)
	var message map[string]any
	Expect(json.Unmarshal(encoded, &message)).To(Succeed())
	address, _ = message["address"].(string)
	key, value, ok := strings.Cut(os.Getenv("CHILD_MESSAGE"), "=")
	if !ok {
		return encoded
	}
	message[key] = json.RawMessage(value)
	encoded, err := json.Marshal(message)
	Expect(err).NotTo(HaveOccurred())
	return encoded
}

// join calls Join, and uses the hosts right after it.
func join(ctx SpecContext, message []byte) {
	hosts.Join(ctx, message)
	if does == "around" {
		noteAll()
	}
}
