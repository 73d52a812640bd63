package address

import (
	"net"
	"strings"
	"testing"
)

var fuzzMAC = net.HardwareAddr{0x52, 0x54, 0, 0x7a, 0x29, 0xdb}

func FuzzParseNeighbours(f *testing.F) {
	f.Add("192.168.122.195 dev virbr0 lladdr 52:54:00:7a:29:db REACHABLE\n10.0.0.1 dev eth0 FAILED\nlladdr\n")
	f.Fuzz(func(t *testing.T, table string) {
		for _, addr := range parseNeighbours(table, fuzzMAC) {
			if !addr.IsValid() {
				t.Error("an address is not valid")
			}
		}
	})
}

func FuzzParseIdentity(f *testing.F) {
	f.Add("AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeeee\n52:54:00:7A:29:DB\n00:00:00:00:00:00\n")
	f.Fuzz(func(t *testing.T, text string) {
		uuid, macs := parseIdentity(text)
		if len(uuid) != 0 && len(uuid) != 36 {
			t.Errorf("UUID %q", uuid)
		}
		for _, mac := range macs {
			if parsed, err := net.ParseMAC(mac); err != nil || parsed.String() != mac {
				t.Errorf("MAC address %q", mac)
			}
		}
	})
}

func FuzzParseClientIDs(f *testing.F) {
	f.Add([]byte(`{"52:54:00:7a:29:db":{"id":"01:02","seen":"2026-01-01T00:00:00Z"}}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, text []byte) {
		record := parseClientIDs(text)
		SharedClientID(record)
		if record == nil {
			t.Error("there is no record to add to")
		}
	})
}

func FuzzParseLiveDomain(f *testing.F) {
	f.Add(`<domain><name>web</name><metadata><a xmlns="b"/></metadata><devices><interface type='network'><mac address='52:54:00:7A:29:DB'/></interface></devices></domain>`)
	f.Fuzz(func(t *testing.T, text string) {
		found := parseLiveDomain(text)
		if found == nil {
			return
		}
		for _, mac := range found.MACs {
			if mac != strings.ToLower(mac) {
				t.Errorf("MAC address %q", mac)
			}
		}
	})
}
