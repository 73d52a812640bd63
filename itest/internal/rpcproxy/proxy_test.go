package rpcproxy

import (
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// packetOf returns a packet without payload.
func packetOf(name string, kind, serial uint32) packet {
	p := make(packet, lengthSize+headerSize)
	for n, word := range []uint32{uint32(len(p)), remoteProgram, 1, procedures[name], kind, serial, 0} {
		binary.BigEndian.PutUint32(p[4*n:], word)
	}
	return p
}

// answering answers every call on a connection.
func answering(daemon net.Conn) {
	defer daemon.Close()
	for {
		p, err := readPacket(daemon)
		if err != nil {
			return
		}
		binary.BigEndian.PutUint32(p[lengthSize+4*3:], typeReply)
		if _, err := daemon.Write(p); err != nil {
			return
		}
	}
}

// connected returns a client of a proxy, whose other end answers every call.
func connected(t *testing.T) (*Proxy, net.Conn) {
	dir := t.TempDir()
	target, err := net.Listen("unix", filepath.Join(dir, "target"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = target.Close() })
	go func() {
		for {
			daemon, err := target.Accept()
			if err != nil {
				return
			}
			go answering(daemon)
		}
	}()
	p, err := Start(filepath.Join(dir, "proxy"), target.Addr().String())
	require.NoError(t, err)
	t.Cleanup(p.Close)
	client, err := net.Dial("unix", filepath.Join(dir, "proxy"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	require.NoError(t, client.SetDeadline(time.Now().Add(time.Minute)))
	return p, client
}

func call(t *testing.T, client net.Conn, name string, serial uint32) (packet, error) {
	t.Helper()
	_, err := client.Write(packetOf(name, typeCall, serial))
	require.NoError(t, err)
	return readPacket(client)
}

func TestCallsPassAndAreRecorded(t *testing.T) {
	p, client := connected(t)
	for n, name := range []string{"virConnectOpen", "virDomainCreateXML"} {
		answer, err := call(t, client, name, uint32(n))
		require.NoError(t, err)
		assert.Equal(t, packetOf(name, typeReply, uint32(n)), answer)
	}
	assert.Equal(t, []string{"virConnectOpen", "virDomainCreateXML"}, p.Calls())
	assert.Empty(t, p.Injected())
}

func TestAFaultHitsOneCall(t *testing.T) {
	for _, kind := range []Kind{Refuse, Fail} {
		t.Run(string(kind), func(t *testing.T) {
			p, client := connected(t)
			p.Inject(Fault{Kind: kind, Call: "virDomainDestroy", After: "virDomainResume", Skip: 1})
			var failed []uint32
			for serial, name := range []string{"virDomainDestroy", "virDomainResume", "virDomainDestroy", "virConnectOpen", "virDomainDestroy", "virDomainDestroy"} {
				answer, err := call(t, client, name, uint32(serial))
				require.NoError(t, err)
				assert.Equal(t, uint32(serial), answer.serial())
				if answer.word(5) == statusError {
					failed = append(failed, answer.serial())
					assert.Contains(t, string(answer), Message)
					assert.Zero(t, len(answer)%4)
				}
			}
			assert.Equal(t, []uint32{4}, failed)
			assert.Equal(t, "virDomainDestroy", p.Injected())
		})
	}
}

func TestADroppedConnectionEnds(t *testing.T) {
	p, client := connected(t)
	p.Inject(Fault{Kind: Drop})
	_, err := call(t, client, "virConnectOpen", 1)
	assert.ErrorIs(t, err, io.EOF)
}

func TestAHangDelaysOneAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, clientEnd := net.Pipe()
		daemonEnd, daemon := net.Pipe()
		go answering(daemon)
		p := &Proxy{}
		p.Inject(Fault{Kind: Hang, Call: "virDomainDestroy"})
		c := &connection{proxy: p, client: clientEnd, daemon: daemonEnd, faults: map[uint32]Fault{}, ended: make(chan struct{})}
		go c.passCalls()
		go c.passAnswers()
		start := time.Now()
		_, err := client.Write(packetOf("virDomainDestroy", typeCall, 1))
		require.NoError(t, err)
		answer, err := call(t, client, "virConnectGetLibVersion", 2)
		require.NoError(t, err)
		assert.EqualValues(t, 2, answer.serial())
		assert.Zero(t, time.Since(start))
		answer, err = readPacket(client)
		require.NoError(t, err)
		assert.EqualValues(t, 1, answer.serial())
		assert.Equal(t, HangTime, time.Since(start))
		_ = client.Close()
	})
}

func TestPacketsWithAWrongLengthAreRefused(t *testing.T) {
	for _, size := range []uint32{0, 3, 27, maxPacket + 1} {
		client, end := net.Pipe()
		go func() { _, _ = client.Write(binary.BigEndian.AppendUint32(nil, size)) }()
		_, err := readPacket(end)
		assert.ErrorContains(t, err, "length")
	}
}
