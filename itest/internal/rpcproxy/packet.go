package rpcproxy

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A packet of libvirt's RPC protocol is its length, a header of six words, and a payload
// in XDR. The length counts itself. All words are big-endian.
const (
	lengthSize = 4
	headerSize = 6 * 4
	maxPacket  = 64 << 20 // libvirt's own limit is 32 MiB
)

// remoteProgram is the RPC program of the calls that all hypervisors have.
const remoteProgram = 0x20008086

// Types of packets.
const (
	typeCall  = 0
	typeReply = 1
)

// statusError is the status of a reply that is an error.
const statusError = 1

// packet is a whole packet, with its length.
type packet []byte

func (p packet) word(n int) uint32 { return binary.BigEndian.Uint32(p[lengthSize+4*n:]) }

func (p packet) program() uint32   { return p.word(0) }
func (p packet) procedure() uint32 { return p.word(2) }
func (p packet) kind() uint32      { return p.word(3) }
func (p packet) serial() uint32    { return p.word(4) }

// readPacket reads one packet.
func readPacket(from io.Reader) (packet, error) {
	var length [lengthSize]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(length[:])
	if size < lengthSize+headerSize || size > maxPacket {
		return nil, fmt.Errorf("reading a packet of libvirt: its length is %d bytes", size)
	}
	p := make(packet, size)
	copy(p, length[:])
	_, err := io.ReadFull(from, p[lengthSize:])
	return p, err
}

// Fields of an error that libvirt's clients show or compare.
const (
	errorCode   = 1  // VIR_ERR_INTERNAL_ERROR
	errorDomain = 10 // VIR_FROM_QEMU
	errorLevel  = 2  // VIR_ERR_ERROR
)

// errorReply returns the reply that fails a call with a message.
func errorReply(call packet, message string) packet {
	reply := make(packet, lengthSize, 128)
	word := func(n uint32) { reply = binary.BigEndian.AppendUint32(reply, n) }
	for _, n := range []uint32{call.program(), call.word(1), call.procedure(), typeReply, call.serial(), statusError} {
		word(n)
	}
	word(errorCode)
	word(errorDomain)
	word(1) // there is a message
	word(uint32(len(message)))
	reply = append(reply, message...)
	for len(reply)%4 != 0 {
		reply = append(reply, 0)
	}
	word(errorLevel)
	for range 4 {
		word(0) // no domain, and no additional texts
	}
	word(0) // additional numbers
	word(0)
	word(0) // no network
	binary.BigEndian.PutUint32(reply, uint32(len(reply)))
	return reply
}
