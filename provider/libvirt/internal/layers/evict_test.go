package layers

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestExcessIsTheLeastRecentlyUsed(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	layer := func(name string, unused time.Duration) *Layer {
		return &Layer{Metadata: Metadata{Name: name, Used: now.Add(-unused), Bytes: 10}}
	}
	all := []*Layer{layer("two days", 48*time.Hour), layer("new", time.Minute), layer("three days", 72*time.Hour), layer("a day", 24*time.Hour)}
	for name, test := range map[string]struct {
		limits Limits
		used   []string
		want   []string
	}{
		"no limits":               {Limits{}, nil, nil},
		"within both":             {Limits{MaxAge: 96 * time.Hour, MaxSize: 40}, nil, nil},
		"too old":                 {Limits{MaxAge: 30 * time.Hour}, nil, []string{"three days", "two days"}},
		"too old, in use":         {Limits{MaxAge: 30 * time.Hour}, []string{"three days"}, []string{"two days"}},
		"too large":               {Limits{MaxSize: 25}, nil, []string{"three days", "two days"}},
		"too large by a byte":     {Limits{MaxSize: 39}, nil, []string{"three days"}},
		"too large, in use":       {Limits{MaxSize: 25}, []string{"three days"}, []string{"two days", "a day"}},
		"used within the hour":    {Limits{MaxAge: time.Second, MaxSize: 1}, nil, []string{"three days", "two days", "a day"}},
		"what is too old goes":    {Limits{MaxAge: 30 * time.Hour, MaxSize: 20}, nil, []string{"three days", "two days"}},
		"everything is in use":    {Limits{MaxSize: 1}, []string{"three days", "two days", "a day"}, nil},
		"all are needed together": {Limits{MaxSize: 10}, nil, []string{"three days", "two days", "a day"}},
	} {
		t.Run(name, func(t *testing.T) {
			users := map[string][]string{}
			for _, l := range test.used {
				users[l] = []string{"a clone"}
			}
			var got []string
			for _, l := range test.limits.excess(all, users, now) {
				got = append(got, l.Name)
			}
			assert.Equal(t, test.want, got)
		})
	}
}
