package testifysuite_test

import (
	"fmt"
	"testing"

	testifysuite "github.com/overcast-go/overcast/suite/testify"
)

// WebSuite is a testify suite with hosts.
type WebSuite struct{ testifysuite.Suite }

// TestHasAnAddress is a test of the suite. The host is up when it runs.
func (s *WebSuite) TestHasAnAddress() {
	s.NotEmpty(s.Host("nat_host").HostName())
}

// A test function runs the suite and names its hosts.
func Example() {
	_ = func(t *testing.T) { // func TestWeb(t *testing.T)
		testifysuite.Run(t, new(WebSuite), "nat_host")
	}
	fmt.Println(new(WebSuite).Host("nat_host"))
	// Output: nat_host (not set up)
}
