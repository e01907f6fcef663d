package ticket

import (
	"cmp"
	"maps"
	"slices"
)

// Group is what tickets that are counted together have in common. Stores keep the number of tickets of each group. So stats with a filter
// that reads only the group need no tickets: see [Filter.SelectsGroups].
type Group struct {
	AppID      string
	CategoryID string
	Status     Status
	Unassigned bool
}

// Group returns the group in which t is counted.
func (t *Ticket) Group() Group {
	return Group{AppID: t.AppID, CategoryID: t.CategoryID, Status: t.Status, Unassigned: t.AssigneeID == ""}
}

func (g Group) compare(h Group) int {
	unassigned := func(g Group) int {
		if g.Unassigned {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(g.AppID, h.AppID), cmp.Compare(g.CategoryID, h.CategoryID), cmp.Compare(g.Status, h.Status),
		cmp.Compare(unassigned(g), unassigned(h)))
}

// GroupChange is a change of the number of a group's tickets.
type GroupChange struct {
	Group Group
	// Change is not 0. It is negative if the group has fewer tickets than before.
	Change int64
}

// GroupChanges returns the changes of the numbers of tickets that the batch makes, in the order of the groups, each group once. It must be
// called after [MergeBatch.Merge].
func (b *MergeBatch) GroupChanges() []GroupChange {
	sums := map[Group]int64{}
	for i := range b.tickets {
		t := &b.tickets[i]
		if !t.written() {
			continue
		}
		after := t.state.Ticket.Group()
		if t.stored && t.before == after {
			continue
		}
		if t.stored {
			sums[t.before]--
		}
		sums[after]++
	}
	maps.DeleteFunc(sums, func(_ Group, change int64) bool { return change == 0 })
	changes := make([]GroupChange, 0, len(sums))
	for group, change := range sums {
		changes = append(changes, GroupChange{Group: group, Change: change})
	}
	slices.SortFunc(changes, func(a, b GroupChange) int { return a.Group.compare(b.Group) })
	return changes
}
