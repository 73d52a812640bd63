// Package testifysuite gives a testify suite the hosts that it names.
//
//	type NginxSuite struct{ testifysuite.Suite }
//
//	func TestNginx(t *testing.T) {
//		testifysuite.Run(t, new(NginxSuite), "nat_host")
//	}
//
//	func (s *NginxSuite) TestAnswers() {
//		result, err := s.Host("nat_host").Run(s.T().Context(), "wget -qO- http://127.0.0.1/")
//		s.Require().NoError(err)
//		s.Contains(result.Stdout, "Welcome")
//	}
//
// The hosts boot side by side before SetupSuite, and are taken away after
// TearDownSuite. That is registered before anything is made: a SetupSuite that
// panics or fails, after which testify itself calls no TearDownSuite, leaves
// nothing. Suites that run at the same time, in tests that are parallel, share
// a host of one label; the last one to end takes it away.
//
// Test binaries of one go test ./... are processes that do not know each other.
// Each has hosts of its own. A static address has one of them at a time, and so
// has the memory of a hypervisor that does not have enough for all: the others
// wait (keys static.wait and memoryWait).
package testifysuite
