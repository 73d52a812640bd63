package image

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/redact"
)

// maxRedirects is how many redirects one request may follow.
const maxRedirects = 10

// permanentError marks a failure that another attempt cannot repair.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// errStalled is why a request ends whose server sends nothing any more.
var errStalled = errors.New("the server sent nothing for too long")

// requester sends GET requests. It follows redirects itself: package http would
// put URLs with their secrets into errors and into the Referer of the next request.
type requester struct {
	transport http.RoundTripper
	// verified says that the content is checked afterwards.
	verified bool
}

// newRequester returns a requester and what closes its idle connections.
func (c *Cache) newRequester(verified bool) (*requester, func()) {
	if c.Transport != nil {
		return &requester{c.Transport, verified}, func() {}
	}
	standard, ok := http.DefaultTransport.(*http.Transport)
	if !ok { // the program has replaced it
		return &requester{http.DefaultTransport, verified}, func() {}
	}
	transport := standard.Clone()
	return &requester{transport, verified}, transport.CloseIdleConnections
}

// get sends a request and returns the response that is not a redirect.
func (r *requester) get(ctx context.Context, u *url.URL, header http.Header) (*http.Response, error) {
	for range maxRedirects + 1 {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return nil, permanentError{fmt.Errorf("%s is not a valid URL", redact.URL(u))}
		}
		request.Header = header.Clone()
		if u.User != nil {
			password, _ := u.User.Password()
			request.SetBasicAuth(u.User.Username(), password)
		}
		response, err := r.transport.RoundTrip(request)
		if err != nil {
			return nil, err
		}
		if !isRedirect(response.StatusCode) {
			response.Request = request
			return response, nil
		}
		response.Body.Close()
		if u, err = r.next(u, response.Header.Get("Location")); err != nil {
			return nil, permanentError{err}
		}
	}
	return nil, permanentError{fmt.Errorf("%s: more than %d redirects", redact.URL(u), maxRedirects)}
}

func isRedirect(code int) bool {
	switch code {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// next returns where a redirect leads to. User and password go only to the server
// that they were given for.
func (r *requester) next(from *url.URL, location string) (*url.URL, error) {
	to, err := url.Parse(location)
	if err != nil || location == "" {
		return nil, fmt.Errorf("%s redirects to an invalid address", redact.URL(from))
	}
	to = from.ResolveReference(to)
	to.Scheme = strings.ToLower(to.Scheme)
	switch {
	case to.Scheme != "http" && to.Scheme != "https" || to.Host == "":
		return nil, fmt.Errorf("%s redirects to %s, which is not a URL of http or https", redact.URL(from), redact.URL(to))
	case from.Scheme == "https" && to.Scheme == "http" && !r.verified:
		return nil, fmt.Errorf("%s redirects from https to http (%s), and sha256 is none: give the digest of the file", redact.URL(from), redact.URL(to))
	}
	if to.User == nil && to.Scheme == from.Scheme && to.Host == from.Host {
		to.User = from.User
	}
	return to, nil
}

// statusError returns the error for a response that has no content to offer.
func statusError(response *http.Response) error {
	status := response.Status
	if text := http.StatusText(response.StatusCode); text != "" {
		status = fmt.Sprintf("%d %s", response.StatusCode, text) // a server may put anything into its own text
	}
	err := &StatusError{URL: redact.URL(response.Request.URL), Code: response.StatusCode, Status: status}
	switch response.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return err
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return permanentError{err}
	}
	if response.StatusCode < 500 {
		return permanentError{err}
	}
	return err
}

// isTransient reports whether another attempt may succeed: the connection failed,
// or the server answered with one of the errors that pass.
func isTransient(err error) bool {
	var certificate *tls.CertificateVerificationError
	var resolver *net.DNSError
	switch {
	case errors.As(err, new(permanentError)), errors.As(err, new(localError)), errors.As(err, &certificate):
		return false
	case errors.As(err, &resolver):
		return !resolver.IsNotFound
	}
	return true
}

// stallTimer cancels a context when it was not reset for a while.
type stallTimer struct {
	timer   *time.Timer
	timeout time.Duration
}

func (c *Cache) withStallTimeout(ctx context.Context) (context.Context, *stallTimer, func()) {
	timeout := c.StallTimeout
	if timeout == 0 {
		timeout = time.Minute
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(timeout, func() { cancel(errStalled) })
	return ctx, &stallTimer{timer, timeout}, func() {
		timer.Stop()
		cancel(nil)
	}
}

func (s *stallTimer) reset() { s.timer.Reset(s.timeout) }

// probeTimeout limits [Cache.Probe].
const probeTimeout = 10 * time.Second

// Probe asks the server of a URL for its file, and downloads nothing. It succeeds without a
// request if the cache has the file. It fails with a [*DownloadError].
func (c *Cache) Probe(ctx context.Context, source Source) error {
	if source.Kind != URL || source.SHA256 != "" && c.isUnchanged(source.SHA256) {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, fmt.Errorf("the server has not answered within %v", probeTimeout))
	defer cancel()
	r, closeIdle := c.newRequester(source.SHA256 != "")
	defer closeIdle()
	response, err := r.get(ctx, source.url(), http.Header{"Range": {"bytes=0-0"}, "Accept-Encoding": {"identity"}, "User-Agent": {"overcast"}})
	if err == nil {
		response.Body.Close()
		if response.StatusCode >= http.StatusBadRequest && response.StatusCode != http.StatusRequestedRangeNotSatisfiable {
			err = statusError(response)
		}
	}
	if err != nil {
		return &DownloadError{Source: source.String(), Attempts: 1, Err: cause(ctx, err)}
	}
	return nil
}
