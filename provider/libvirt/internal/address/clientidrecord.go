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

// ClientIDRecord has, by MAC address, the DHCP client identifier that this machine's
// clones of a base have sent last. A DHCP server has one lease for an identifier, so its
// leases do not show that clones share one.
type ClientIDRecord map[string]clientIDNote

type clientIDNote struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

// Age at which an identifier is dropped from the record, and limit of the wait for
// other processes that write to the record.
const (
	clientIDMemory = 24 * time.Hour
	clientIDWait   = time.Second
)

func clientIDRecordName(base string) string { return "client-ids-" + base }

// noteClientID adds an identifier to the record of a base. Only doctor uses the record:
// errors are ignored.
func noteClientID(ctx context.Context, label, base, id, mac string) {
	if id == "" || base == "" || isFromMAC(id, mac) {
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

// ReadClientIDs reads the record of a base. It is empty if there is none.
func ReadClientIDs(base string) ClientIDRecord {
	dir, err := filelock.Dir()
	if err != nil {
		return nil
	}
	text, _ := filelock.Read(dir, clientIDRecordName(base))
	return parseClientIDs(text)
}

func parseClientIDs(text []byte) ClientIDRecord {
	record := ClientIDRecord{}
	if json.Unmarshal(text, &record) != nil || record == nil { // a damaged record counts as empty
		return ClientIDRecord{}
	}
	return record
}

// SharedClientID returns an identifier that two MAC addresses have sent last, and these
// addresses, or "".
func SharedClientID(record ClientIDRecord) (id string, macs []string) {
	byID := map[string][]string{}
	for _, mac := range slices.Sorted(maps.Keys(record)) {
		id := record[mac].ID
		if byID[id] = append(byID[id], mac); len(byID[id]) > 1 {
			return id, byID[id]
		}
	}
	return "", nil
}
