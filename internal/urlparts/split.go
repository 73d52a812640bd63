package urlparts

import (
	"regexp"
	"strings"
)

var queryStart = regexp.MustCompile(`\?[A-Za-z]+=`)

// SplitQuery finds the '?' that begins the parameters: the first that a name
// and '=' follow, as a password may hold others.
func SplitQuery(rest string) (authority, query string) {
	if at := queryStart.FindStringIndex(rest); at != nil {
		return rest[:at[0]], rest[at[0]+1:]
	}
	return strings.TrimSuffix(rest, "?"), ""
}

// SplitLogin ends the login part after the last '@'.
func SplitLogin(authority string) (login, host string) {
	at := strings.LastIndexByte(authority, '@') + 1
	return authority[:at], authority[at:]
}
