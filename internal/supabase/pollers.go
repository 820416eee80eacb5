package supabase

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/supabase-community/postgrest-go"
)

// Operations on pollers.
const (
	OpHeartbeat     = "heartbeat"
	OpForgetPollers = "forget_pollers"
)

var pollerColumns = []string{"id", "last_seen_at", "version", "jobs", "message"}

// Poller is one running operator, as the app shows it.
type Poller struct {
	ID      string
	SeenAt  time.Time
	Version string
	// Jobs counts those that it is measuring.
	Jobs int
	// Message is what is wrong, in a line; empty when all is well.
	Message string
}

// Heartbeat says that an operator is alive. Without the table, nothing happens.
func (c *Client) Heartbeat(ctx context.Context, p Poller) error {
	schema, err := c.known(ctx)
	if err != nil || !schema.pollers {
		return err
	}
	body, err := json.Marshal(map[string]any{
		"id": p.ID, "last_seen_at": timestamp(p.SeenAt), "version": p.Version, "jobs": p.Jobs, "message": orNull(p.Message),
	})
	if err != nil {
		return fmt.Errorf("%s: %w", OpHeartbeat, err)
	}
	what := call{op: OpHeartbeat, prefer: "resolution=merge-duplicates,return=minimal"}
	_, _, err = c.do(ctx, what, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From("pollers").Upsert(json.RawMessage(body), "id", "minimal", "")
	})
	return err
}

// ForgetPollers removes the rows of operators that were not seen since, other than the one named. Pods have a new name each
// time, so that without it the table would only grow.
func (c *Client) ForgetPollers(ctx context.Context, but string, since time.Time) error {
	schema, err := c.known(ctx)
	if err != nil || !schema.pollers {
		return err
	}
	_, _, err = c.do(ctx, call{op: OpForgetPollers, prefer: "return=minimal"}, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From("pollers").Delete("minimal", "").Neq("id", but).Lt("last_seen_at", timestamp(since))
	})
	return err
}
