package hocon

import "hash/maphash"

// A keyIndex finds fields by their keys in objects that have many. It has no
// pointers and no keys of its own, which makes a difference where there are
// hundreds of thousands: a map took half of the time.
type keyIndex struct {
	slots []slot // a power of two of them, at least half of them free
	used  int
}

// A slot is free if its number is 0.
type slot struct {
	hash   uint32
	number int32 // of the field, counted from 1
}

const indexFrom = 17 // fields

var seed = maphash.MakeSeed()

func hashKey(key string) uint32 { return uint32(maphash.String(seed, key)) }

// newKeyIndex indexes fields.
func newKeyIndex(fields []*field) *keyIndex {
	x := &keyIndex{slots: make([]slot, 64)}
	for i, f := range fields {
		x.add(f.key, i)
	}
	return x
}

// find gives the place of the key among fields, or -1.
func (x *keyIndex) find(fields []*field, key string) int {
	hash := hashKey(key)
	mask := uint32(len(x.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := x.slots[i]
		if s.number == 0 {
			return -1
		}
		if s.hash == hash && fields[s.number-1].key == key {
			return int(s.number - 1)
		}
	}
}

// add adds a key that is not in the index.
func (x *keyIndex) add(key string, at int) {
	if 2*x.used >= len(x.slots) {
		old := x.slots
		x.slots = make([]slot, 4*len(old))
		for _, s := range old {
			if s.number != 0 {
				x.insert(s)
			}
		}
	}
	x.used++
	x.insert(slot{hash: hashKey(key), number: int32(at + 1)})
}

func (x *keyIndex) insert(s slot) {
	mask := uint32(len(x.slots) - 1)
	i := s.hash & mask
	for x.slots[i].number != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = s
}

// findField looks for a key with the index, if there is one.
func findField(fields []*field, index *keyIndex, key string) int {
	if index != nil {
		return index.find(fields, key)
	}
	for i, f := range fields {
		if f.key == key {
			return i
		}
	}
	return -1
}
