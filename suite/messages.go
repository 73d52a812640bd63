package suite

import "encoding/json"

// The processes of a run exchange these messages about the shared hosts. Ginkgo
// passes the bootstrap message from process 1 to the others as soon as the first
// body of the SynchronizedBeforeSuite returns. Each of them then sends a request
// to process 1, which answers with the result when all shared hosts are up or
// one has failed.

// messageVersion is the version of the messages.
const messageVersion = 1

// bootstrapMessage is the result of SetUpShared.
type bootstrapMessage struct {
	Version int      `json:"version"`
	Run     string   `json:"run"`               // identifies the run
	Hosts   []string `json:"hosts"`             // labels of the shared hosts
	Address string   `json:"address,omitempty"` // where process 1 listens; empty in a run of one process
}

// request asks process 1 for the result or, with Failed, reports that a spec or
// node of the sender has failed.
type request struct {
	Run    string `json:"run"`
	Failed bool   `json:"failed,omitempty"`
}

// result is the outcome of the set-up of the shared hosts.
type result struct {
	Version int             `json:"version"`
	Run     string          `json:"run"`
	Hosts   json.RawMessage `json:"hosts,omitempty"`   // from host.Registry.Share
	Failure string          `json:"failure,omitempty"` // why the hosts are not up
}
