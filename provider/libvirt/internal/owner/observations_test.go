package owner

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A machine whose clock is 15 minutes ahead must not take the live clones of others.
func TestALeaseExpiresWhenItsStampStaysUnchanged(t *testing.T) {
	const lease, booted = 10 * time.Minute, time.Hour
	stamp := time.Now()
	web := func(renewed time.Time) *Metadata {
		return &Metadata{Name: "web", Lease: metadataLease{Renewed: renewed, Seconds: int(lease.Seconds())}}
	}
	for name, difference := range map[string]time.Duration{"this clock is right": 0, "is ahead": 15 * time.Minute, "is behind": -15 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			seen := observations{}
			expired := func(renewed time.Time, after time.Duration) bool {
				return seen.observe([]*Metadata{web(renewed)}, "machine", stamp.Add(difference+after), booted+after)["web"]
			}
			assert.False(t, expired(stamp, 0), "seen for the first time")
			assert.False(t, expired(stamp, lease-time.Second))
			assert.False(t, expired(stamp.Add(lease), lease+time.Second), "it was renewed")
			assert.False(t, expired(stamp.Add(lease), 2*lease))
			assert.True(t, expired(stamp.Add(lease), 2*lease+2*time.Second))
		})
	}
	t.Run("a stamp that no clock error explains", func(t *testing.T) {
		assert.True(t, observations{}.observe([]*Metadata{web(stamp)}, "machine", stamp.Add(lease+25*time.Hour), booted)["web"])
	})
	t.Run("after a reboot of this machine", func(t *testing.T) {
		seen := observations{}
		seen.observe([]*Metadata{web(stamp)}, "machine", stamp, booted)
		assert.False(t, seen.observe([]*Metadata{web(stamp)}, "rebooted", stamp, 24*time.Hour)["web"])
		assert.Equal(t, "rebooted", seen["web"].Machine)
	})
}

func TestAnUnreadableRecordOfLeasesIsEmpty(t *testing.T) {
	for _, text := range []string{"", "null", "{", `{"web":1}`, `[]`} {
		assert.Equal(t, observations{}, parseObservations([]byte(text)), text)
	}
}
