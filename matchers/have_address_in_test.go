package matchers_test

import (
	"testing"

	. "github.com/overcast-go/overcast/matchers"
)

// at is a host that only has a host name.
type at string

func (a at) HostName() string { return string(a) }

func TestHaveAddressIn(t *testing.T) {
	passes(t, HaveAddressIn("192.168.122.0/24"), at("192.168.122.17"), `Expected
    matchers_test.at (192.168.122.17)
not to have an address in 192.168.122.0/24
tried: address of the host
found: [192.168.122.17]
attempts: 1`)
	passes(t, HaveAddressIn("fe80::/10"), at("fe80::1%eth0"), `Expected
    matchers_test.at (fe80::1%eth0)
not to have an address in fe80::/10
tried: address of the host
found: [fe80::1]
attempts: 1`)
	passes(t, HaveAddressIn("127.0.0.0/8"), at("::ffff:127.0.0.1"), `Expected
    matchers_test.at (::ffff:127.0.0.1)
not to have an address in 127.0.0.0/8
tried: address of the host
found: [127.0.0.1]
attempts: 1`)
	fails(t, HaveAddressIn("192.168.123.0/24"), at("192.168.122.17"), `Expected
    matchers_test.at (192.168.122.17)
to have an address in 192.168.123.0/24
tried: address of the host
found: [192.168.122.17]
attempts: 1`)
}

func TestHaveAddressInResolvesNames(t *testing.T) {
	m := HaveAddressIn("127.0.0.0/8")
	if ok, err := m.Match(at("localhost")); err != nil || !ok {
		t.Error(ok, err, m.FailureMessage(at("localhost")))
	}
}

func TestHaveAddressInRefusesAnAddress(t *testing.T) {
	unknown(t, HaveAddressIn("192.168.122.17"), at("192.168.122.17"), `HaveAddressIn: "192.168.122.17" is not a network in CIDR notation, such as 192.168.122.0/24`)
}
