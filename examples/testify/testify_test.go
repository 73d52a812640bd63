// Package testify shows hosts in a suite of testify.
package testify

import (
	"os"
	"testing"

	_ "github.com/overcast-go/overcast/provider/libvirt"
	testifysuite "github.com/overcast-go/overcast/suite/testify"
)

type BoxSuite struct{ testifysuite.Suite }

func TestBox(t *testing.T) {
	if os.Getenv("LAB_CONF") == "" {
		t.Skip("needs a hypervisor: run it in the lab, or change overcast.conf and remove this line")
	}
	testifysuite.Run(t, new(BoxSuite), "box")
}

func (s *BoxSuite) TestRunsLinux() {
	result, err := s.Host("box").Run(s.T().Context(), "uname -s")
	s.Require().NoError(err)
	s.Equal("Linux\n", result.Stdout)
}
