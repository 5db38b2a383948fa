package naming

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// exactTotals is how many totals planWeights searches one by one: all there are for
// eight instances of HAProxy (8 x 256). Beyond it the totals grow by 2 %.
const exactTotals = 2048

// planWeights returns integer weights, each in 0..most, that give instance i of a
// service the wanted share of requests while the others keep their shares
// relative to each other as they are in base. weights are those in force, base
// those to which peers are compared; both have the length of the service.
//
// The error of a plan is the largest difference between the share an instance
// gets and the one it should get. The first that is within tolerance (an
// absolute share, 0 for the best there is) is taken of: the weights in force
// with only i changed, base with only i changed, then the least sum of weights.
// If none is, the plan of the least error over the sums searched is taken: all
// sums up to 2,048, then steps of 2 %. Its error is below 1/S, where S is the
// largest sum of weights up to most, floor(most / largest wanted share), unless
// a peer should get less than 1/S and gets the least there is, weight 1.
//
// A peer of base weight 0 stays at 0, and any other stays at 1 or more, so that
// nobody is drained; with n such peers the share is at most most/(most+n). The
// error returned says what was refused. O(S n log n) at worst.
func planWeights(weights, base []Weight, i int, share float64, most Weight, tolerance float64) ([]Weight, error) {
	if i < 0 || i >= len(base) || len(weights) != len(base) {
		return nil, fmt.Errorf("plan weights: instance %d of %d", i, len(base))
	}
	if !(share > 0 && share < 1) {
		return nil, fmt.Errorf("plan weights: share %v is outside (0, 1)", share)
	}
	want, peers := wanted(base, i, share)
	if peers == 0 {
		return nil, fmt.Errorf("plan weights: no other instance has a weight above 0: %w", ErrUnsuitable)
	}
	if limit := float64(most) / float64(int(most)+peers); share > limit {
		return nil, fmt.Errorf("plan weights: share %.4f is above %.4f, the most that weights up to %d can give beside %d peers", share, limit, most, peers)
	}
	best, least := []Weight(nil), math.Inf(1)
	try := func(w []Weight) bool {
		if w == nil {
			return false
		}
		if e := shareError(w, want); e < least {
			best, least = w, e
		}
		return least <= tolerance
	}
	for _, from := range [][]Weight{weights, base} {
		if try(onlyOne(from, i, share, most)) {
			return best, nil
		}
	}
	largest := int(float64(most+1) / slices.Max(want)) // rounding down may still fit most
	for total := peers + 1; total <= largest; total = max(total+1, nextTotal(total)) {
		if try(apportion(want, total, most)) {
			return best, nil
		}
	}
	try(apportion(want, max(largest, peers+1), most))
	return best, nil
}

func nextTotal(total int) int {
	if total < exactTotals {
		return total + 1
	}
	return int(float64(total) * 1.02)
}

// wanted returns the share every instance should get, and how many peers of i
// have a weight.
func wanted(base []Weight, i int, share float64) (want []float64, peers int) {
	sum := 0.0
	for j, w := range base {
		if j != i && w > 0 {
			sum += float64(w)
			peers++
		}
	}
	want = make([]float64, len(base))
	for j, w := range base {
		if j != i && w > 0 {
			want[j] = (1 - share) * float64(w) / sum
		}
	}
	want[i] = share
	return want, peers
}

// shareError is the largest difference between wanted shares and those of w.
func shareError(w []Weight, want []float64) float64 {
	sum := 0.0
	for _, v := range w {
		sum += float64(v)
	}
	worst := 0.0
	for j, v := range w {
		worst = max(worst, math.Abs(float64(v)/sum-want[j]))
	}
	return worst
}

// onlyOne returns weights with that of i set to the nearest for the share, or
// nil where it would leave 1..most.
func onlyOne(weights []Weight, i int, share float64, most Weight) []Weight {
	peers := 0.0
	for j, w := range weights {
		if j != i {
			peers += float64(w)
		}
	}
	w := Weight(math.Round(share / (1 - share) * peers))
	if w < 1 || w > most {
		return nil
	}
	out := slices.Clone(weights)
	out[i] = w
	return out
}

// apportion splits total by largest remainders (Hamilton's method), which makes
// the largest deviation from want*total as small as whole numbers allow. What
// would leave 1..most is set to the nearer end.
func apportion(want []float64, total int, most Weight) []Weight {
	out := make([]Weight, len(want))
	order := make([]int, 0, len(want))
	rest := make([]float64, len(want))
	left := total
	for j, q := range want {
		if q == 0 {
			continue
		}
		exact := q * float64(total)
		out[j] = Weight(exact + 1e-9) // 2.9999999 is 3
		rest[j] = exact - float64(out[j])
		left -= int(out[j])
		order = append(order, j)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rest[b], rest[a]) })
	for k := 0; k < left && k < len(order); k++ {
		out[order[k]]++
	}
	for _, j := range order {
		out[j] = min(max(out[j], 1), most)
	}
	return out
}

// ladder returns the writes that lead from the weights in force to others, in
// an order that is safe to be cut short after any of them:
//
//   - the share of instance i never rises above the larger of its shares before
//     and after: in each round the writes that lower it (peers up, itself down)
//     come before those that raise it;
//   - no weight changes by more than a factor of two at once (rounding apart),
//     so while all weights are scaled up or down no peer gets more than about
//     twice the larger of its shares before and after, and only between two writes.
//
// An instance may occur once in each of the at most log2(largest factor)
// rounds; i of -1 means that no instance is spared more than others.
func ladder(names []string, from, to []Weight, i int) []Change {
	rounds := 1
	for j := range from {
		if from[j] > 0 && to[j] > 0 && from[j] != to[j] {
			ratio := float64(to[j]) / float64(from[j])
			rounds = max(rounds, int(math.Ceil(math.Abs(math.Log2(ratio))-1e-9)))
		}
	}
	limit := math.Inf(1)
	if i >= 0 {
		limit = max(share(from, i), share(to, i))
	}
	var out []Change
	now := slices.Clone(from)
	for r := 1; r <= rounds; r++ {
		next := step(from, to, float64(r)/float64(rounds))
		if i >= 0 && r < rounds {
			hold(next, i, limit)
		}
		out = append(out, ordered(names, now, next, i)...)
		now = next
	}
	return out
}

// step interpolates geometrically; a weight from or to 0 jumps at the end.
func step(from, to []Weight, part float64) []Weight {
	out := slices.Clone(to)
	if part >= 1 {
		return out
	}
	for j := range out {
		if from[j] == 0 || to[j] == 0 {
			out[j] = from[j]
			continue
		}
		out[j] = Weight(math.Round(float64(from[j]) * math.Pow(float64(to[j])/float64(from[j]), part)))
	}
	return out
}

// hold lowers the weight of i until its share is within limit.
func hold(w []Weight, i int, limit float64) {
	for w[i] > 1 && share(w, i) > limit {
		w[i]--
	}
}

// share returns the share of requests that instance i gets, 0 if nobody gets any.
func share(w []Weight, i int) float64 {
	sum := 0.0
	for _, v := range w {
		sum += float64(v)
	}
	if sum == 0 {
		return 0
	}
	return float64(w[i]) / sum
}

// ordered lists the writes of one round: first those that lower the share of i.
func ordered(names []string, from, to []Weight, i int) []Change {
	var lowers, raises []Change
	for j := range from {
		if from[j] == to[j] {
			continue
		}
		c := Change{Instance: names[j], From: from[j], To: to[j]}
		if up := to[j] > from[j]; up == (j == i) {
			raises = append(raises, c)
		} else {
			lowers = append(lowers, c)
		}
	}
	if i >= 0 {
		// i moves at the outer edge of its group: down after no peer has
		// come down, up after every peer has.
		last := func(c []Change) {
			slices.SortStableFunc(c, func(a, b Change) int {
				return cmp.Compare(btoi(a.Instance == names[i]), btoi(b.Instance == names[i]))
			})
		}
		last(lowers)
		last(raises)
	}
	return append(lowers, raises...)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
