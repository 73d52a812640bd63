// Package matchers has Gomega matchers for hosts. Import it with a dot, as Gomega
// itself:
//
//	import (
//		. "github.com/onsi/gomega"
//		. "github.com/overcast-go/overcast/matchers"
//	)
//
//	Expect(fixture.Host("nat_host")).To(BeReachableOnSSH())
//	Eventually(fixture.Host("nat_host")).Should(HaveMounted("/data").ReadOnly())
//
// Methods such as ReadOnly refine a matcher and return it. The documentation of
// each function lists the methods of its matcher.
//
// # Actual values
//
// Matchers take a *fixture.CloudHost, or any value with the one method that the
// matcher needs:
//
//	Run(ctx context.Context, cmd string) (fixture.Result, error)
//	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
//	HostName() string
//	BaseDomain() string
//
// If the value also has String() string, Address() string, HostName() string or
// User() (string, error), messages use them. Any other value, nil, and a host that
// is not set up are errors.
//
// # Failed matches and errors
//
// A match fails if the host is not as expected. If a matcher cannot find out, for
// example because the login failed, Match returns an error: then both To and NotTo
// fail, and Eventually tries again. [BeReachableOnSSH], [BeReachableOn] and
// [RespondToHTTP] ask for reachability itself: for them a host that cannot be
// reached is a failed match.
//
// Messages name what was tried, by which user, what was found or the last error,
// and the number of attempts.
//
// # Time limits
//
// An attempt takes at most two seconds, or the time limit set with the method
// Within. Eventually stops early when another attempt cannot succeed: the domain
// has crashed or was destroyed, the host key does not match, a key file cannot be
// used, or an argument is invalid.
//
// # Requirements on the guest
//
// Matchers that run commands need a POSIX shell, the commands of busybox or
// coreutils, and /proc. They copy nothing to the guest.
package matchers
