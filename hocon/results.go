package hocon

// results remember what became of nodes that are no scalars. A nil result is
// one, too: that of an optional substitution that has no value.
type results struct {
	tables []table // one for each document; they are few
	others map[*node]*result
}

type table struct {
	owner *owner
	slots []outcome
}

type outcome struct {
	result *result
	done   bool
}

func (r *results) get(n *node) (res *result, done bool) {
	if n.owner == nil {
		res, done = r.others[n]
		return res, done
	}
	slot := r.slot(n)
	return slot.result, slot.done
}

func (r *results) set(n *node, res *result) {
	if n.owner == nil {
		if r.others == nil {
			r.others = make(map[*node]*result)
		}
		r.others[n] = res
		return
	}
	*r.slot(n) = outcome{res, true}
}

func (r *results) slot(n *node) *outcome {
	for i := range r.tables {
		if r.tables[i].owner == n.owner {
			return &r.tables[i].slots[n.number]
		}
	}
	r.tables = append(r.tables, table{n.owner, make([]outcome, n.owner.count)})
	return &r.tables[len(r.tables)-1].slots[n.number]
}
