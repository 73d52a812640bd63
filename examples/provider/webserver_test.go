package webserver_test

import (
	"testing"

	. "github.com/onsi/gomega"
	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"

	webserver "example.com/webserver"
)

func TestHostsAreUpDuringATest(t *testing.T) {
	g := NewWithT(t)
	hosts := fixture.UpAll(t, "front", "back")
	g.Expect(hosts[0]).To(RespondToHTTP(webserver.Port, "/").WithBody("welcome"))
	g.Expect(hosts[1]).To(RespondToHTTP(webserver.Port, "/").WithBody("data"))
	g.Expect(hosts[1].HostName()).To(Equal("127.0.80.2"))
}

func TestHostsAreGoneAfterATest(t *testing.T) {
	var front *fixture.CloudHost
	t.Run("uses the host", func(t *testing.T) { front = fixture.Up(t, "front") })
	_, err := fixture.Lookup(front.Label())
	NewWithT(t).Expect(err).To(MatchError(fixture.ErrNotSetUp))
}

func TestInvalidConfigurationHasAPosition(t *testing.T) {
	t.Setenv("OVERCAST_SET", `odd.webserver.address = 192.0.2.1`)
	_, err := fixture.SetUp(t.Context(), "odd")
	g := NewWithT(t)
	g.Expect(err).To(MatchError(fixture.ErrInvalidConfiguration))
	g.Expect(err).To(MatchError(ContainSubstring("OVERCAST_SET:1:25: odd.webserver.address: must be a loopback address")))
}
