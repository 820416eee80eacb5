package supabase

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/supabase-community/postgrest-go"
)

// OpFindJobs is the operation that looks jobs up by what people call them.
const OpFindJobs = "find_jobs"

// JobsBetween lists the jobs, whatever their status, whose ids lie between two, both included, by id, and so many at most.
func (c *Client) JobsBetween(ctx context.Context, first, last string, most int) ([]Job, error) {
	schema, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkIDs(first, last); err != nil {
		return nil, fmt.Errorf("%s: %w", OpFindJobs, err)
	}
	return c.jobPage(ctx, OpFindJobs, nil, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		// Of two filters on one column the library would send the last.
		return rest.From("jobs").Select(schema.jobSelect(), "", false).
			And("id.gte."+first+",id.lte."+last, "").Order("id", ascending).Limit(most, "")
	})
}

// NewestJob gives the job of a target that began last, whatever its status; none if there is none.
func (c *Client) NewestJob(ctx context.Context, target netip.Addr) ([]Job, error) {
	schema, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	return c.jobPage(ctx, OpFindJobs, nil, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From("jobs").Select(schema.jobSelect(), "", false).
			Eq("target_ip", target.WithZone("").String()).Order("started_at", descending).Limit(1, "")
	})
}
