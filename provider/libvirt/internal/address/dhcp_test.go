package address

import (
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/filelock/filelocktest"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/strategy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

func TestUsageOfADHCPRange(t *testing.T) {
	var network libvirtxml.Network
	require.NoError(t, network.Unmarshal(`<network><name>small</name><bridge name='virbr9'/>
		<ip address='10.0.0.1' netmask='255.255.255.0'><dhcp>
			<range start='10.0.0.254' end='10.0.0.254'/><range start='10.0.0.10' end='10.0.0.13'/>
			<host mac='52:54:00:00:00:11' ip='10.0.0.11'/><host mac='52:54:00:00:00:12' ip='10.0.0.12'/><host mac='52:54:00:00:00:99' ip='10.0.0.99'/>
		</dhcp></ip>
		<ip family='ipv6' address='fd00::1' prefix='64'><dhcp><range start='fd00::10' end='fd00::ffff'/></dhcp></ip></network>`))
	soon, late := time.Now().Add(time.Minute), time.Now().Add(time.Hour)
	leases := []libvirt.NetworkDHCPLease{
		{IPaddr: "10.0.0.10", ExpiryTime: late}, {IPaddr: "10.0.0.11", ExpiryTime: soon}, {IPaddr: "10.0.0.11", ExpiryTime: soon},
		{IPaddr: "10.0.0.77", ExpiryTime: soon}, {IPaddr: "fd00::10", ExpiryTime: soon},
	}
	used := DHCPUsage(&network, leases)
	assert.Equal(t, DHCPRange{leased: 2, reserved: 1, Total: 5, frees: soon}, used)
	assert.Equal(t, "2 of 5 addresses leased, 1 reserved", used.String())
	assert.False(t, used.full())
	assert.False(t, used.NearlyFull())

	leases = append(leases, libvirt.NetworkDHCPLease{IPaddr: "10.0.0.254", ExpiryTime: time.Unix(0, 0)}, libvirt.NetworkDHCPLease{IPaddr: "10.0.0.13", ExpiryTime: late})
	used = DHCPUsage(&network, leases)
	assert.True(t, used.full())
	assert.True(t, used.NearlyFull())
	assert.Equal(t, "the DHCP range of network small is used up (4 of 5 addresses leased, 1 reserved, the first until "+soon.Local().Format(time.TimeOnly)+"): "+
		"give it a larger range, or leases that expire sooner (<lease expiry='5' unit='minutes'/> in its <range>; virsh net-edit small)", (&RangeFullError{"small", used}).Error())

	used = DHCPUsage(&network, []libvirt.NetworkDHCPLease{{IPaddr: "10.0.0.10"}})
	assert.True(t, used.frees.IsZero(), "a lease that never expires")
	assert.False(t, DHCPUsage(&libvirtxml.Network{}, nil).full(), "a network without a range")
	assert.True(t, DHCPRange{leased: 140, Total: 151}.NearlyFull())
	assert.False(t, DHCPRange{leased: 135, Total: 151}.NearlyFull())
}

func TestListeningDHCPServerIsDetected(t *testing.T) {
	const sockets = "UNCONN 0      0      0.0.0.0%virbr1:67 0.0.0.0:*\nUNCONN 0 0 0.0.0.0%virbr10:67 0.0.0.0:* users:((\"dnsmasq\",pid=147,fd=3))\n"
	for name, test := range map[string]struct {
		sockets, bridge string
		listens         bool
		unread          int
	}{
		"one of two":                        {sockets, "virbr1", true, 0},
		"the other":                         {sockets, "virbr10", true, 0},
		"none on this bridge":               {sockets, "virbr0", false, 0},
		"none at all":                       {"", "virbr0", false, 0},
		"a server that listens everywhere":  {"UNCONN 512 0 0.0.0.0:67 0.0.0.0:*\n", "virbr0", true, 0},
		"a headline":                        {"Netid State\n", "virbr0", false, 0},
		"a server that reads nothing":       {"UNCONN 768 0 0.0.0.0%virbr0:67 0.0.0.0:*\n" + sockets, "virbr0", true, 768},
		"another server that reads nothing": {"UNCONN 768 0 0.0.0.0%virbr0:67 0.0.0.0:*\n" + sockets, "virbr1", true, 0},
	} {
		listens, unread := receives(test.sockets, test.bridge)
		assert.Equal(t, test.listens, listens, name)
		assert.Equal(t, test.unread, unread, name)
	}
}

func TestOnlyRepeatedFailuresOfADHCPServerCount(t *testing.T) {
	missing, hung := &noDHCPServerError{network: "n"}, &hungDHCPServerError{network: "n", unread: 300}
	h := DHCPHealth{definition: &libvirtxml.Network{}}
	reported := func(failures ...error) error {
		h.since = time.Now().Add(-time.Minute)
		h.next = time.Now().Add(time.Hour)
		for _, failure := range failures {
			h.note(failure, time.Now())
		}
		h.next = time.Now().Add(time.Hour)
		return h.check(t.Context(), nil)
	}
	require.NoError(t, reported(missing))
	require.ErrorIs(t, reported(missing), strategy.ErrFinal)
	require.NoError(t, reported(hung, hung, hung), "it may ping an address")
	require.NoError(t, reported(nil, hung, hung, hung))
	err := reported(hung)
	require.ErrorIs(t, err, strategy.ErrNotYet)
	require.ErrorContains(t, err, "does not read the requests that it receives (300 bytes wait)")
	require.NotErrorIs(t, err, strategy.ErrFinal)
	require.NoError(t, reported(nil))
}

func TestDHCPServerThatDoesNotReadForLongIsFinal(t *testing.T) {
	start := time.Now().Add(-time.Hour)
	h := DHCPHealth{definition: &libvirtxml.Network{}, since: start, next: time.Now().Add(time.Hour)}
	report := func(after time.Duration) error {
		h.note(&hungDHCPServerError{network: "n", unread: 300}, start.Add(after))
		return h.reportHanging(start.Add(after))
	}
	require.NotErrorIs(t, report(0), strategy.ErrFinal)
	require.NotErrorIs(t, report(hangingLimit-time.Second), strategy.ErrFinal)
	h.note(nil, start.Add(hangingLimit-time.Second)) // it has read
	require.NotErrorIs(t, report(hangingLimit), strategy.ErrFinal)
	require.NotErrorIs(t, report(2*hangingLimit-time.Second), strategy.ErrFinal)
	h.ServerTimeout = 3 * hangingLimit
	require.NotErrorIs(t, report(2*hangingLimit), strategy.ErrFinal, "other strategies may find an address")
	require.ErrorIs(t, report(3*hangingLimit), strategy.ErrFinal)
}

func TestMissingDHCPServerIsFinalForAllStrategiesOnlyLater(t *testing.T) {
	missing := &noDHCPServerError{network: "n", bridge: "virbr9"}
	require.NotErrorIs(t, missing, strategy.ErrFinal)
	missing.final = true
	require.ErrorIs(t, missing, strategy.ErrFinal)
	require.ErrorContains(t, missing, "no DHCP server listens on bridge virbr9 of network n")
}

func TestSharedClientIdentifierIsFound(t *testing.T) {
	now := time.Now()
	record := ClientIDRecord{"52:54:00:00:00:01": {"ff:01", now}, "52:54:00:00:00:02": {"ff:02", now}}
	id, _ := SharedClientID(record)
	assert.Empty(t, id)
	record["52:54:00:00:00:03"] = clientIDNote{"ff:01", now}
	id, macs := SharedClientID(record)
	assert.Equal(t, "ff:01", id)
	assert.Equal(t, []string{"52:54:00:00:00:01", "52:54:00:00:00:03"}, macs)
	assert.Empty(t, parseClientIDs([]byte(`{"52:54:00`)))
}

func TestClientIdentifiersAreRecorded(t *testing.T) {
	base := domainxml.NewUUID()
	filelocktest.RemoveAtEnd(t, clientIDRecordName(base))
	noteClientID(t.Context(), "web", base, "01:52:54:00:00:00:01", "52:54:00:00:00:01")
	noteClientID(t.Context(), "web", base, "", "52:54:00:00:00:01")
	assert.Empty(t, ReadClientIDs(base))
	for _, mac := range []string{"52:54:00:00:00:01", "52:54:00:00:00:02"} {
		noteClientID(t.Context(), "web", base, "ff:01:02:03", mac)
	}
	id, macs := SharedClientID(ReadClientIDs(base))
	assert.Equal(t, "ff:01:02:03", id)
	assert.Len(t, macs, 2)
	noteClientID(t.Context(), "web", base, "ff:05:06:07", "52:54:00:00:00:02")
	id, _ = SharedClientID(ReadClientIDs(base))
	assert.Empty(t, id, "the base has been changed since")
}
