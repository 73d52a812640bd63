package qmp

import "testing"

func FuzzDecode(f *testing.F) {
	f.Add(`{"return":{"status":"running"},"id":"libvirt-1"}`)
	f.Add(`{"error":{"class":"CommandNotFound","desc":"no"}}`)
	f.Add(`{"return":null}`)
	f.Add(`null`)
	f.Fuzz(func(_ *testing.T, text string) {
		var status struct{ Status string }
		if err := decode("query-status", text, &status); err != nil {
			_ = err.Error()
			IsUnknownCommand(err)
		}
		_ = decode("cont", text, nil)
	})
}
