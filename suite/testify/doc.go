// Package testifysuite runs a testify suite with hosts, for plain go test.
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
// # Lifecycle
//
// [Run] sets the hosts up before SetupSuite, all at the same time, and tears them
// down after TearDownSuite. The teardown is registered before anything is
// created. It therefore also runs when SetupSuite panics or calls t.FailNow,
// although testify does not call TearDownSuite then. When the process is killed,
// libvirtd destroys its clones within about a second; docs/lifecycle.md has a table of
// all the ways in which a run can end.
//
// Suites of one process that run at the same time, in parallel tests, share the
// host of a label. The last one to end tears it down.
//
// # Static addresses and limited memory
//
// go test ./... starts a process for each package, and each has its own clones. A
// static address belongs to one clone at a time: the set-up of a host with that
// address waits until the other process has torn its clone down, for up to the
// key static.wait. Clones that do not fit into the free memory of the hypervisor
// wait as well, for up to the key memoryWait. Both waits are served in the order
// of arrival.
package testifysuite
