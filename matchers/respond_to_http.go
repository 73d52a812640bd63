package matchers

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RespondToHTTP succeeds if the host answers GET http://HOST:port/path with a
// status below 400. The path may have a query. Redirects are not followed.
//
// The matcher has these methods; each returns the matcher:
//
//	WithStatus(status any)        another status: an int or a matcher of int
//	WithBody(body any)            the body, up to 1 MiB: a string or a matcher of string
//	Within(limit time.Duration)   time limit of one attempt (default 2 s)
//
// A host that does not answer is a failed match. With WithStatus or WithBody it
// is an error, as it is unknown what the answer would have been.
//
// The host needs the method DialContext.
func RespondToHTTP(port int, path string) *respondToHTTPMatcher {
	m := &respondToHTTPMatcher{evaluator: evaluator[dialer]{matcher: "RespondToHTTP"}, port: port, path: path}
	m.usage = checkPort(m.matcher, port, nil)
	return m
}

type respondToHTTPMatcher struct {
	evaluator[dialer]
	port         int
	path         string
	status, body *expectation
	usage        error
}

// WithStatus sets the expected status.
func (m *respondToHTTPMatcher) WithStatus(status any) *respondToHTTPMatcher {
	m.status = expect(status)
	return m
}

// WithBody sets the expected body.
func (m *respondToHTTPMatcher) WithBody(body any) *respondToHTTPMatcher {
	m.body = expect(body)
	return m
}

// Within sets the time limit of one attempt.
func (m *respondToHTTPMatcher) Within(limit time.Duration) *respondToHTTPMatcher {
	m.limit = limit
	return m
}

// Match implements Gomega's matcher.
func (m *respondToHTTPMatcher) Match(actual any) (bool, error) {
	if m.usage != nil {
		return false, m.usage
	}
	host, err := m.host(actual)
	if err != nil {
		return false, err
	}
	request, err := m.request(actual)
	if err != nil {
		return false, newUsageError("%s: %v", m.matcher, err)
	}
	q := query{
		wanted:      fmt.Sprintf("to respond to HTTP on port %d", m.port) + m.status.text("status") + m.body.text("body"),
		tried:       "GET " + request.URL.String(),
		unreachable: m.status == nil && m.body == nil,
	}
	return evaluate(&m.evaluator, actual, q, func(ctx context.Context) (response, error) {
		return get(ctx, host, m.port, request)
	}, m.judge)
}

func (m *respondToHTTPMatcher) request(actual any) (*http.Request, error) {
	request, err := http.NewRequest(http.MethodGet, "http://host/"+strings.TrimPrefix(m.path, "/"), nil)
	if err != nil {
		return nil, err
	}
	name := addressOf(actual)
	if name == "" {
		name = "localhost"
	}
	request.URL.Host = net.JoinHostPort(name, strconv.Itoa(m.port))
	request.Host = request.URL.Host
	return request, nil
}

// response is what the matcher uses of an HTTP response.
type response struct {
	code   int
	status string // as in "200 OK"
	body   string
}

const bodyLimit = 1 << 20

// get makes a request over a new connection. It dials here and not in the
// transport, which would do so in a goroutine where a panic of the host's method
// ends the process.
func get(ctx context.Context, host dialer, port int, request *http.Request) (response, error) {
	conn, err := dial(ctx, host, port)
	if err != nil {
		return response{}, err
	}
	defer conn.Close()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}
	defer transport.CloseIdleConnections()
	got, err := transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		return response{}, err
	}
	defer got.Body.Close()
	body, err := io.ReadAll(io.LimitReader(got.Body, bodyLimit))
	if err != nil {
		return response{}, fmt.Errorf("reading the body: %w", err)
	}
	return response{got.StatusCode, got.Status, string(body)}, nil
}

func (m *respondToHTTPMatcher) judge(got response) (verdict, error) {
	if m.status == nil && got.code >= http.StatusBadRequest {
		return verdict{found: fmt.Sprintf("status %s, body %s", got.status, excerpt(got.body))}, nil
	}
	found := fmt.Sprintf("status %s", got.status)
	if m.body != nil {
		found += ", body " + excerpt(got.body)
	}
	return judgeAll(found,
		func() (verdict, error) { return m.status.judge("status", got.code) },
		func() (verdict, error) { return m.body.judge("body", got.body) })
}
