package warm

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// room is what libvirt leaves after the definition and the cookie.
const room = 64 << 10

// beginning is what libvirt writes before the memory.
func beginning(order binary.ByteOrder, definition, cookie string) []byte {
	data := definition + "\x00"
	at := 0
	if cookie != "" {
		at = len(data)
		data += cookie + "\x00"
	}
	image := make([]byte, imageHeader+len(data)+room)
	copy(image, imageMagic)
	order.PutUint32(image[16:], 2)
	order.PutUint32(image[20:], uint32(len(data)+room))
	order.PutUint32(image[24:], 1) // it was running
	order.PutUint32(image[28:], 5) // zstd
	order.PutUint32(image[32:], uint32(at))
	copy(image[imageHeader:], data)
	return image
}

func TestReplaceDefinition(t *testing.T) {
	const old, cookie = "<domain><name>old</name></domain>", "<cookie/>"
	for name, c := range map[string]struct {
		order   binary.ByteOrder
		new     string
		cookies string
	}{
		"longer":                       {binary.LittleEndian, "<domain>" + strings.Repeat("<new/>", 1000) + "</domain>", cookie},
		"shorter":                      {binary.LittleEndian, "<domain/>", cookie},
		"without a cookie":             {binary.LittleEndian, "<domain/>", ""},
		"of a big-endian hypervisor":   {binary.BigEndian, "<domain/>", cookie},
		"as long as the image permits": {binary.LittleEndian, strings.Repeat("x", room+len(old)), cookie},
	} {
		t.Run(name, func(t *testing.T) {
			before := beginning(c.order, old, c.cookies)
			after, err := replaceDefinition(before, c.new)
			require.NoError(t, err)
			require.Len(t, after, len(before))
			assert.Equal(t, before[:cookieAt], after[:cookieAt])
			data := after[imageHeader:]
			definition, rest, found := strings.Cut(string(data), "\x00")
			require.True(t, found)
			assert.Equal(t, c.new, definition)
			at := int(c.order.Uint32(after[cookieAt:]))
			if c.cookies == "" {
				assert.Zero(t, at)
			} else {
				assert.Equal(t, len(c.new)+1, at)
				assert.Equal(t, c.cookies+"\x00", string(data[at:at+len(c.cookies)+1]))
				rest = string(data[at+len(c.cookies)+1:])
			}
			assert.Empty(t, strings.Trim(rest, "\x00"), "nothing of the old definition is left")

			again, err := replaceDefinition(after, old)
			require.NoError(t, err)
			assert.Equal(t, before, again)
		})
	}
}

func TestReplaceDefinitionRefuses(t *testing.T) {
	put := func(at int, number uint32) func([]byte) []byte {
		return func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[at:], number)
			return b
		}
	}
	for name, c := range map[string]struct {
		change func([]byte) []byte
		want   string
	}{
		"an empty volume":        {func([]byte) []byte { return nil }, "the save image has 0 bytes, less than its header"},
		"another file":           {func(b []byte) []byte { copy(b, "QEVM"); return b }, `not a save image of libvirt: it begins with "QEVMirtQemudSave"`},
		"an interrupted save":    {func(b []byte) []byte { copy(b, partialMagic); return b }, "the save image is incomplete"},
		"a later version":        {put(versionAt, 3), "the save image has version 3, and versions up to 2 are known"},
		"no version":             {put(versionAt, 0), "the save image has version 0, and versions up to 2 are known"},
		"no data":                {put(dataLengthAt, 0), "the header of the save image is invalid: 0 bytes of data, with a cookie at 10"},
		"too much data":          {put(dataLengthAt, 1<<31), "the header of the save image is invalid: 2147483648 bytes of data, with a cookie at 10"},
		"a cookie after the end": {put(cookieAt, 1<<20), "the header of the save image is invalid: 65556 bytes of data, with a cookie at 1048576"},
		"a truncated image":      {func(b []byte) []byte { return b[:1000] }, "the save image has 1000 bytes before the memory, and its header says 65648"},
		"a cookie without end": {func(b []byte) []byte {
			return append(b[:imageHeader+10], bytes.Repeat([]byte("x"), len(b)-imageHeader-10)...)
		}, "the cookie of the save image has no end"},
	} {
		_, err := replaceDefinition(c.change(beginning(binary.LittleEndian, "<domain/>", "<cookie/>")), "<domain/>")
		assert.EqualError(t, err, c.want, name)
	}
	_, err := replaceDefinition(beginning(binary.LittleEndian, "<domain/>", "<cookie/>"), strings.Repeat("x", 70<<10))
	assert.EqualError(t, err, "the new definition does not fit in the save image: it has room for 65556 bytes, and 71691 are needed")
}
