package redact

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/overcast-go/overcast/internal/urlparts"
)

// Redact hides the secrets of the URLs and parameters in a text: passwords in
// user info, and what parameters named passphrase or password, or something
// that ends so, are given. It reads a URL as ParseURL of sshurl does, whatever its
// scheme. The secrets come back as they are written, and decoded.
//
// A text that begins with a URL is one to its end. Elsewhere, as in a command
// line, a URL ends with the word or the quotation that it stands in. Where
// that leaves a doubt, more is hidden rather than less.
func Redact(text string) (shown string, secrets []string) {
	var hidden []span
	end, nested := 0, 0 // of the URL or parameter before; those within it
	quotes := shellWords{text: text}
	for _, start := range secretStart.FindAllStringIndex(text, -1) {
		bare := end < start[1]
		if nested++; bare {
			nested = 0
		}
		if nested > mostNested {
			hidden = append(hidden, span{start[1], end})
			continue
		}
		quotes.skipTo(start[1])
		wordEnd := quotes.wordEnd()
		end = max(end, wordEnd)
		if isHead(text[:start[0]]) {
			end = len(text)
		}
		found := secretAfter(text[:end], start)
		hidden = append(hidden, found)
		secrets = appendSecret(secrets, text[found.from:found.to])
		if bare && text[start[1]-1] == '=' { // in PASSWORD=a ./run, it is what ends with the word
			secrets = appendSecret(secrets, text[found.from:min(found.to, wordEnd)])
		}
	}
	return mask(text, hidden), secrets
}

// Text hides secrets in a text as [Redact] does, for callers that only show it.
func Text(text string) string {
	shown, _ := Redact(text)
	return shown
}

// URL returns a URL without its user, password, query and fragment: any of them may be
// a secret.
func URL(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	text := shown.String()
	if u.User != nil {
		text = strings.Replace(text, "://", "://"+Mask+"@", 1)
	}
	if u.RawQuery != "" {
		text += "?" + Mask
	}
	return text
}

// MayHoldSecret reports whether a text contains a secret, or looks as if a secret was
// in the rest of a text that it was cut out of: it contains a URL with a user or the
// name of a parameter for a secret.
func MayHoldSecret(text string) bool {
	for _, at := range secretStart.FindAllStringIndex(text, -1) {
		rest := strings.ToLower(text[at[1]:])
		if text[at[1]-1] == '=' || strings.Contains(rest, "@") || strings.Contains(rest, "pass") {
			return true
		}
	}
	return Text(text) != text
}

// mostNested limits the number of URLs and parameters within one that are looked at.
// The rest is hidden as a whole.
const mostNested = 50

// Hide masks what is known to be secret wherever it is in a text, however it
// is percent-encoded there.
func Hide(text string, secrets []string) string {
	var plain string
	var places []int
	if strings.Contains(text, "%") {
		plain, places = unescapePlaces(text)
	}
	var hidden []span
	for _, secret := range secrets {
		needles := []string{secret}
		if strings.Contains(secret, "%") {
			needles = append(needles, urlparts.Unescape(secret))
		}
		for _, needle := range needles {
			hidden = append(hidden, occurrences(text, needle)...)
			for _, found := range occurrences(plain, needle) {
				hidden = append(hidden, span{places[found.from], places[found.to]})
			}
		}
	}
	return mask(text, hidden)
}

// secretStart is what a secret may come after: the scheme of a URL, or the
// name of a parameter.
var secretStart = regexp.MustCompile(`(?i)://|(?:passphrase|password)s?=`)

var nextParameter = regexp.MustCompile(`&[A-Za-z_]+=`)

// isHead says whether what comes after before is the text, rather than
// something in it: there are no words and quotations before it.
func isHead(before string) bool {
	return !strings.ContainsFunc(strings.TrimSpace(before), func(r rune) bool { return r <= ' ' || r == '"' || r == '\'' })
}

// span is a part of a text, which may be empty.
type span struct{ from, to int }

// secretAfter finds the secret after a match of secretStart. That of a
// parameter ends at the next parameter: blanks, '#' and a '&' that was not escaped
// may be in a passphrase.
func secretAfter(text string, start []int) span {
	begin := start[1]
	if text[begin-1] == '=' {
		if next := nextParameter.FindStringIndex(text[begin:]); next != nil {
			return span{begin, begin + next[0]}
		}
		return span{begin, len(text)}
	}
	isSSH := strings.EqualFold(text[max(0, start[0]-3):start[0]], "ssh")
	found := passwordIn(text[begin:], isSSH)
	return span{begin + found.from, begin + found.to}
}

// passwordIn finds the password in what follows the scheme of a URL. For one
// that ParseURL refuses, it is found where it was meant to be: when a "?a=" in
// it was not escaped, or, in a URL of ssh, the '@' and the host were forgotten.
func passwordIn(rest string, isSSH bool) span {
	authority, _ := urlparts.SplitQuery(rest)
	login, host := urlparts.SplitLogin(authority)
	if user, password, found := strings.Cut(strings.TrimSuffix(login, "@"), ":"); found {
		return span{len(user) + 1, len(user) + 1 + len(password)}
	}
	colon := strings.IndexAny(host, ":[/?#")
	if colon < 0 || host[colon] != ':' || startsWithPort.MatchString(host[colon+1:]) {
		return span{}
	}
	from := len(login) + colon + 1
	if at := strings.LastIndexByte(rest, '@'); at > from {
		return span{from, at}
	}
	if isSSH {
		return span{from, len(authority)}
	}
	return span{}
}

var startsWithPort = regexp.MustCompile(`^\d{1,5}([^\pL\pN]|$)`)

// appendSecret adds a secret as it is written, without the quotes of a shell
// if it has them, and as it is meant.
func appendSecret(secrets []string, raw string) []string {
	raw = strings.TrimSpace(raw)
	forms := []string{raw, urlparts.Unescape(raw)}
	if last := len(raw) - 1; last > 0 && raw[0] == raw[last] && (raw[0] == '"' || raw[0] == '\'') {
		forms = append(forms, raw[1:last], urlparts.Unescape(raw[1:last]))
	}
	for _, form := range forms {
		if form != "" && form != Mask && !slices.Contains(secrets, form) {
			secrets = append(secrets, form)
		}
	}
	return secrets
}

// mask puts asterisks in the place of what is hidden.
func mask(text string, hidden []span) string {
	slices.SortFunc(hidden, func(a, b span) int { return a.from - b.from })
	var b strings.Builder
	done := 0
	for _, h := range hidden {
		if h.from == h.to {
			continue
		}
		if h.from > done || b.Len() == 0 {
			b.WriteString(text[done:h.from])
			b.WriteString(Mask)
		}
		done = max(done, h.to)
	}
	return b.String() + text[done:]
}

// occurrences are all of them, also those that overlap.
func occurrences(text, needle string) []span {
	var found []span
	for from := 0; needle != ""; from++ {
		next := strings.Index(text[from:], needle)
		if next < 0 {
			break
		}
		from += next
		found = append(found, span{from, from + len(needle)})
	}
	return found
}

// unescapePlaces is Unescape of urlparts, with the place in s of each byte that it gives,
// and of the end.
func unescapePlaces(s string) (plain string, places []int) {
	var b strings.Builder
	for i := 0; i < len(s); {
		size := 1
		if i+3 <= len(s) && len(urlparts.Unescape(s[i:i+3])) == 1 {
			size = 3
		}
		b.WriteString(urlparts.Unescape(s[i : i+size]))
		places = append(places, i)
		i += size
	}
	return b.String(), append(places, len(s))
}

// shellWords reads a text as a shell would, as far as it takes to know where
// words end.
type shellWords struct {
	text  string
	at    int
	quote byte // that at is within, or 0
}

func (w *shellWords) skip() {
	switch c := w.text[w.at]; {
	case c == '\\' && w.quote != '\'':
		w.at++
	case c == w.quote:
		w.quote = 0
	case w.quote == 0 && (c == '"' || c == '\''):
		w.quote = c
	}
	w.at = min(w.at+1, len(w.text))
}

func (w *shellWords) skipTo(at int) {
	for w.at < at {
		w.skip()
	}
}

// wordEnd is where the word ends that is being read, or the quotation.
func (w shellWords) wordEnd() int {
	for within := w.quote; w.at < len(w.text); w.skip() {
		c := w.text[w.at]
		if within != 0 && c == within || within == 0 && w.quote == 0 && c <= ' ' {
			break
		}
	}
	return w.at
}
