// Package matchers has Gomega matchers for hosts. It is made to be imported
// with a dot, beside Gomega's own:
//
//	import (
//		. "github.com/onsi/gomega"
//		. "github.com/overcast-go/overcast/matchers"
//	)
//
//	Expect(fixture.Host("nat_host")).To(BeReachableOnSSH())
//	Eventually(fixture.Host("nat_host")).Should(HaveMounted("/data").ReadOnly())
//
// # What they match
//
// A *fixture.CloudHost, or a host of your own that has the one method that the
// matcher needs; each matcher says which:
//
//	Run(ctx context.Context, cmd string) (fixture.Result, error)
//	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
//	HostName() string
//	Base() string
//
// If it has String, Address, HostName or User() (string, error) besides, messages
// use them. Nil, anything else, and a host that is not set up are errors.
//
// # Failed, or not known
//
// A match fails where the host has shown that it is not so. Where nobody could
// find out, because the login failed or the host's table could not be read,
// the matcher returns an error: then To fails and NotTo fails as well, and
// Eventually tries again. Being unreachable is an answer only for the matchers
// that ask for just that, [BeReachableOnSSH], [BeReachableOn] and
// [RespondToHTTP].
//
// # Time
//
// No attempt takes longer than its bound, two seconds or what Within says.
// What waiting cannot mend ends Eventually at once: the domain has crashed or
// is gone, the host key is another one, a key file cannot be used, the
// arguments make no sense.
//
// # What they need of a guest
//
// A Bourne shell and the usual small commands, those of busybox or of
// coreutils, and /proc. Nothing is copied to the guest.
package matchers
