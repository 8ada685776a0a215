#!lua flags=allow-oom
-- publish_overdue: the broker that carries the calls has no message left, and these still wait for one: they get another,
-- by the mover. Should somebody have it all the same, it does no harm: a call is claimed by its ticket, once.
-- args: { queue, number, most }: those by this number or a smaller, at most so many
-- returns: how many messages are to be sent again
-- needs: ranges
local queue, given, most = unpack(args)
local list, sent = 'awaited:' .. queue, 0

local function still_waits(id)
  local status, ticket = unpack(look(P .. 'r:' .. id, 's', 'e'))
  return status == 'Q' and ticket and is_carried(ticket) and queue_of(string.sub(split_ticket(ticket), 2)) == queue
end

local found = range(list, '-inf', given, 'LIMIT', 0, most)
local number_now = found[1] and redis.pcall('INCR', P .. 'tickets') -- larger than what anybody takes for overdue now
for _, id in ipairs(found) do
  if still_waits(id) then
    put(blocks.is_range(id) and 'unpublished_ranges' or 'unpublished', 0, id)
    put(list, type(number_now) == 'number' and number_now or now, id)
    sent = sent + 1
  else
    drop(list, id)
  end
end
return cmsgpack.pack(sent)
