package owner

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
)

// observations are what this user's processes have seen of leases, by domain. The clock
// of the owner's machine may be wrong, so its stamps are compared with each other only:
// a lease has expired when the stamp has not changed for the lease's time, by this
// machine's uptime.
type observations map[string]observation

type observation struct {
	Renewed time.Time     `json:"renewed"` // the owner's stamp
	Since   time.Duration `json:"since"`   // uptime of this machine when the stamp was first seen
	Machine string        `json:"machine"` // digest of this machine's boot
}

// Records of leases are kept for a time, and updated within a time.
const (
	observationsName   = "leases"
	observationsMemory = 30 * 24 * time.Hour
	observationsWait   = 5 * time.Second
)

// ExpiredLeases returns the names of the domains whose leases have expired, and records
// the stamps of the others: a lease can expire only if an earlier call has seen its
// stamp, or if the stamp is more than a day too old. An error means that nothing could
// be recorded.
func ExpiredLeases(ctx context.Context, domains []*Metadata) (expired map[string]bool, err error) {
	if len(domains) == 0 {
		return nil, nil
	}
	now := time.Now()
	record := func(old []byte) []byte {
		seen := parseObservations(old)
		expired = seen.observe(domains, Self().Machine, now, uptime(now))
		text, _ := json.Marshal(seen) // strings, numbers and times cannot fail
		return text
	}
	dir, err := filelock.Dir()
	if err == nil {
		within, cancel := context.WithTimeout(ctx, observationsWait)
		defer cancel()
		err = filelock.Update(within, dir, observationsName, NewHolder("overcast gc"), record)
	}
	if err != nil {
		record(nil)
		err = fmt.Errorf("recording the leases of clones: %w", err)
	}
	return expired, err
}

func parseObservations(text []byte) observations {
	seen := observations{}
	if json.Unmarshal(text, &seen) != nil || seen == nil {
		return observations{}
	}
	return seen
}

// observe records the stamps of domains and returns the names of those whose leases have
// expired.
func (o observations) observe(domains []*Metadata, machine string, now time.Time, uptime time.Duration) map[string]bool {
	for name, seen := range o {
		if seen.Machine != machine || seen.Since > uptime || uptime-seen.Since > observationsMemory {
			delete(o, name)
		}
	}
	expired := map[string]bool{}
	for _, m := range domains {
		seen, ok := o[m.Name]
		if !ok || !seen.Renewed.Equal(m.Lease.Renewed) {
			seen = observation{Renewed: m.Lease.Renewed, Since: uptime, Machine: machine}
			o[m.Name] = seen
		}
		expired[m.Name] = uptime-seen.Since > m.lease() || m.isLongExpired(now)
	}
	return expired
}

// uptime returns the time since this machine was booted. Without proc(5), it returns the
// time since 1970.
func uptime(now time.Time) time.Duration {
	text, err := os.ReadFile("/proc/uptime")
	var seconds float64
	if err == nil {
		_, err = fmt.Sscan(string(text), &seconds)
	}
	if err != nil {
		return time.Duration(now.UnixNano())
	}
	return time.Duration(seconds * float64(time.Second))
}
