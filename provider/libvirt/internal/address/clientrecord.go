package address

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
)

// clientIDRecord has the DHCP client identifier that each MAC address of this
// machine's clones of a base has sent last. A DHCP server has one lease for an
// identifier, so its leases do not tell that clones share one.
type clientIDRecord map[string]clientIDNote

type clientIDNote struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

// How long an identifier is remembered, and how long a process waits for others
// that write to the record.
const (
	clientIDMemory = 24 * time.Hour
	clientIDWait   = time.Second
)

func clientIDRecordName(base string) string { return "client-ids-" + base }

// noteClientID adds to the record of a base. It is of use to overcast doctor
// only: what goes wrong does not matter.
func noteClientID(ctx context.Context, label, base, id, mac string) {
	if id == "" || isFromMAC(id, mac) {
		return
	}
	dir, err := filelock.Dir()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, clientIDWait)
	defer cancel()
	_ = filelock.Update(ctx, dir, clientIDRecordName(base), owner.NewHolder(label), func(old []byte) []byte {
		now := time.Now()
		record := parseClientIDs(old)
		maps.DeleteFunc(record, func(_ string, note clientIDNote) bool { return now.Sub(note.At) > clientIDMemory })
		record[strings.ToLower(mac)] = clientIDNote{id, now}
		text, _ := json.Marshal(record) // strings and times cannot fail
		return text
	})
}

// readClientIDs reads the record of a base; it is empty if there is none.
func ReadClientIDs(base string) clientIDRecord {
	dir, err := filelock.Dir()
	if err != nil {
		return nil
	}
	text, _ := filelock.Read(dir, clientIDRecordName(base))
	return parseClientIDs(text)
}

func parseClientIDs(text []byte) clientIDRecord {
	record := clientIDRecord{}
	_ = json.Unmarshal(text, &record) // what cannot be read tells nothing
	return record
}

// sharedClientID is an identifier that two MAC addresses have sent last, with
// these, or "".
func SharedClientID(record clientIDRecord) (id string, macs []string) {
	byID := map[string][]string{}
	for _, mac := range slices.Sorted(maps.Keys(record)) {
		id := record[mac].ID
		if byID[id] = append(byID[id], mac); len(byID[id]) > 1 {
			return id, byID[id]
		}
	}
	return "", nil
}
