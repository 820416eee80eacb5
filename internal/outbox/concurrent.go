package outbox

import (
	"context"
	"slices"
	"sync"
)

// senders is how many requests with samples are under way at once at most, and how many that move last_ping_at. At 50,000 jobs of
// 10 s there are 5 a second of the former and 13 of the latter. One after the other, they would have to take less than 200 ms and
// 75 ms, over the internet.
const senders = 4

// concurrency is how many requests with samples may be under way at once: several while the store takes whatever it is sent. One that is
// in trouble is not to be pressed, and whether it is back shows with one request as well.
func (o *Outbox) concurrency() int {
	if o.flowing && o.limit >= o.Batch {
		return senders
	}
	return 1
}

// portion is how many are delivered at once of so many that wait: as many as one request carries, or as several do that are full. The
// caller holds mu.
func (o *Outbox) portion(waiting int) int {
	return max(1, min(waiting/o.limit, o.concurrency())) * o.limit
}

// deliverAll stores items, of which there may be more than a request carries, and gives back those that are still to be stored, with the
// reason. All that are of one job go the same way, one after the other: so what is pending of a job is always what came last.
func deliverAll[T any](ctx context.Context, o *Outbox, g *goods[T], items []T) ([]T, error) {
	n := min(o.concurrency(), (len(items)+o.limit-1)/o.limit)
	if n <= 1 {
		return deliverInTurn(ctx, o, g, items)
	}
	left, errs := make([][]T, n), make([]error, n)
	var sending sync.WaitGroup
	for i, share := range shares(items, n, g.job) {
		sending.Go(func() { left[i], errs[i] = deliverInTurn(ctx, o, g, share) })
	}
	sending.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return slices.Concat(left...), errs[i]
	}
	return nil, nil
}

// shares deals items to n, about as many to each, and all of a job to the same.
func shares[T any](items []T, n int, job func(T) string) [][]T {
	dealt := make([][]T, n)
	for i := range dealt {
		dealt[i] = make([]T, 0, (len(items)+n-1)/n)
	}
	of := make(map[string]int, len(items))
	for _, item := range items {
		i, known := of[job(item)]
		if !known {
			for other := range dealt {
				if len(dealt[other]) < len(dealt[i]) {
					i = other
				}
			}
			of[job(item)] = i
		}
		dealt[i] = append(dealt[i], item)
	}
	return dealt
}

// deliverInTurn stores items with one request after the other.
func deliverInTurn[T any](ctx context.Context, o *Outbox, g *goods[T], items []T) ([]T, error) {
	for len(items) > 0 {
		o.mu.Lock()
		n := min(o.limit, len(items))
		o.mu.Unlock()
		left, err := deliver(ctx, o, g, items[:n])
		if items = items[n:]; err != nil {
			return slices.Concat(left, items), err
		}
	}
	return nil, nil
}
