package testifysuite_test

import (
	"fmt"
	"testing"

	testifysuite "github.com/overcast-go/overcast/suite/testify"
)

// WebSuite is a suite of testify's with hosts.
type WebSuite struct{ testifysuite.Suite }

// TestHasAnAddress is one of its tests. Where a go test runs it, the host is up.
func (s *WebSuite) TestHasAnAddress() {
	s.NotEmpty(s.Host("nat_host").HostName())
}

// A suite is run by a test, which names the hosts.
func Example() {
	_ = func(t *testing.T) { // func TestWeb(t *testing.T)
		testifysuite.Run(t, new(WebSuite), "nat_host")
	}
	fmt.Println(new(WebSuite).Host("nat_host"))
	// Output: nat_host (not set up)
}
