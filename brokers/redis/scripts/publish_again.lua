#!lua flags=allow-oom
-- publish_again: the broker that carries calls has lost messages: those of these runs that wait for one get another, by the
-- mover. To publish what is still there is harmless: a call is claimed by its ticket, once.
-- args: { queue, {run, ...} }
-- returns: how many of the runs wait so in this queue
-- needs: ranges
local queue, runs = unpack(args)
local count = 0

local function waits_for_a_message(ticket)
  return ticket and is_carried(ticket) and queue_of(string.sub(split_ticket(ticket), 2)) == queue
end

for _, id in ipairs(runs) do
  local block, place, letter = blocks.find(id)
  if block and letter == 'Q' then
    local range_id = blocks.range(block, string.byte(block.ranges, place + 1))
    if waits_for_a_message(look(P .. 'r:' .. range_id, 'e')[1]) then
      put('unpublished_ranges', 0, range_id)
      count = count + 1
    end
  elseif not block then
    local status, ticket = unpack(look(P .. 'r:' .. id, 's', 'e'))
    if status == 'Q' and waits_for_a_message(ticket) then
      put('unpublished', 0, id)
      count = count + 1
    end
  end
end
return cmsgpack.pack(count)
