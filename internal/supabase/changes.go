package supabase

import (
	"context"
	"fmt"
	"time"

	"github.com/supabase-community/postgrest-go"
)

// OpChangedJobs is the operation that lists what has changed.
const OpChangedJobs = "changed_jobs"

// manyTied is from how many rows of one instant on, which one statement has changed, those that follow are asked for by themselves.
const manyTied = 100

// ChangedJobs lists the real_polling rows of any status with UpdatedAt at or after since (all, if that is zero), in the order of
// UpdatedAt and id, and the newest UpdatedAt among them, zero without one. A row that changes meanwhile may be there twice: the
// later one counts. Where nothing has changed it is one request that reads nothing. It is an error to ask where KnowsChanges is
// false.
//
// The caller has to look back a little, because UpdatedAt is when the transaction began that changed the row: it may appear after
// one with a later time. Mark knows how far. Rows that are deleted, or no longer real_polling, are not noticed.
func (c *Client) ChangedJobs(ctx context.Context, since time.Time) (jobs []Job, newest time.Time, err error) {
	schema, err := c.known(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	if !schema.KnowsChanges() {
		return nil, time.Time{}, &Error{
			Op: OpChangedJobs, Status: 400, Code: "PGRST204",
			Message: "the database does not say when jobs change: apply config/supabase/migrations/20261124090100_operator_columns.sql",
		}
	}
	place := changePlace{at: since}
	for {
		page, err := c.changedPage(ctx, schema, place)
		if err != nil {
			return nil, time.Time{}, err
		}
		jobs = append(jobs, page...)
		for i := range page {
			if page[i].UpdatedAt.After(newest) {
				newest = page[i].UpdatedAt
			}
		}
		switch next, more, err := place.after(page); {
		case err != nil:
			return nil, time.Time{}, err
		case !more:
			return jobs, newest, nil
		default:
			place = next
		}
	}
}

// changePlace is how far changes have been read: what comes next was changed at an instant or later, and has a higher id, if there
// is one here, where it was changed at that very instant.
type changePlace struct {
	at time.Time
	id string
	// tied tells that the last page was of one instant only, so that there may be many more such rows, and the next is too.
	tied bool
}

// changedPage reads the rows that come next. Their order is that of an index, so that no others are read.
func (c *Client) changedPage(ctx context.Context, schema *Schema, place changePlace) ([]Job, error) {
	at := timestamp(place.at)
	return c.jobPage(ctx, OpChangedJobs, nil, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		query := rest.From("jobs").Select(schema.jobSelect(), "", false).Eq("monitoring_mode", "real_polling").
			Order("updated_at", ascending).Order("id", ascending).Limit(pageSize, "")
		switch {
		case place.tied:
			return query.Eq("updated_at", at).Gt("id", place.id)
		case place.id != "":
			// What was read of the instant is read again by this, and left out.
			return query.Gte("updated_at", at).Or("updated_at.gt."+at+",id.gt."+place.id, "")
		}
		return query.Gte("updated_at", at)
	})
}

// after is where to go on after a page, if there may be more.
func (p changePlace) after(page []Job) (next changePlace, more bool, err error) {
	if len(page) == 0 {
		return changePlace{at: p.at.Add(time.Microsecond)}, p.tied, nil
	}
	first, last := &page[0], &page[len(page)-1]
	switch {
	case last.UpdatedAt.IsZero(): // infinity, or nothing that can be read: after such a row only such rows come
		return p, false, nil
	case checkIDs(last.ID) != nil, last.UpdatedAt.Before(p.at), last.UpdatedAt.Equal(p.at) && last.ID <= p.id:
		return p, false, &Error{Op: OpChangedJobs, Status: 200, Message: fmt.Sprintf("the page after %s %q ends with %s %q: the rows are not in order",
			timestamp(p.at), p.id, timestamp(last.UpdatedAt), oneLine(last.ID))}
	}
	return changePlace{last.UpdatedAt, last.ID, len(page) >= manyTied && first.UpdatedAt.Equal(last.UpdatedAt)}, true, nil
}

// lookBack is how long a transaction that changes a job may take for Mark not to miss the change. Supabase gives up a statement
// after 8 s.
const lookBack = 10 * time.Second

// Mark is up to where the changes of jobs are known. It compares the database's times with the database's own only: however
// differently its clock and ours are set, it goes on as ours does, so how far it has come at least is known from any time that
// it has given. A clock that is set back hides changes until it has caught up; whoever reads all rows now and then finds them.
// The zero Mark knows nothing. It is not safe for concurrent use.
//
// Looking back from the newest change instead would bring whatever changed last again and again, and that may be 50,000 rows
// of one statement.
type Mark struct {
	// reached is what the database's clock showed at least when ours showed at.
	reached, at time.Time
}

// Note takes the newest UpdatedAt of what was read, zero without one, and when that was asked for and answered, on our clock. A
// look that failed is not to be noted.
func (m *Mark) Note(newest, asked, answered time.Time) {
	if asked.Before(m.at) {
		return // an older look says nothing that is not known
	}
	if !m.reached.IsZero() {
		m.reached = m.reached.Add(max(0, asked.Sub(m.at)))
	}
	m.at = asked
	if least := newest.Add(-answered.Sub(asked)); !newest.IsZero() && least.After(m.reached) {
		m.reached = least
	}
}

// Since is from where on to ask for changes, so that none is missed whose transaction took less than 10 s; false while no time
// of the database is known, so that only all rows can be asked for.
func (m *Mark) Since() (time.Time, bool) {
	if m.reached.IsZero() {
		return time.Time{}, false
	}
	return m.reached.Add(-lookBack), true
}
