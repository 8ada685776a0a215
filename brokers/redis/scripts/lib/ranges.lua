-- ranges: parts of a block that wait in a queue, each an entry of its own.
-- needs: blocks

local ranges = {}

-- What an older worker finds, which drops entries that it does not understand: a call that it must not run.
local ONLY_NEWER = cmsgpack.pack({ n = 2 })

function ranges.add(route, range_id)
  -- the entry; a stream that is none begins anew, since calls that wait nowhere would never end
  local function add() return redis.pcall('XADD', stream(route), '*', 'i', range_id) end
  local entry = add()
  return asked(entry, 'q:' .. route) or add()
end

function ranges.ticket(block, range_id, route, first, last)
  -- a new one, by which it waits from now on
  if is_carried_from(route) then return carry(range_id, route, block.task, first, last - first + 1) end
  return route .. ' ' .. ranges.add(route, range_id)
end

function ranges.queue(block, count, route, first, last, open)
  local range_id = blocks.range(block, count)
  local ticket = ranges.ticket(block, range_id, route, first, last)
  set_facts(P .. 'r:' .. range_id, 's', 'Q', 't', block.task, 'q', block.route, 'b', '', 'm', ONLY_NEWER,
    'e', ticket, 'F', first, 'T', last)
  blocks.count_more(split_ticket(ticket), open - 1)
end

-- What a worker does not take goes first among those of its priority; what an older worker has handed back is first as
-- it is.
function ranges.route_of_rest(route)
  if string.sub(route, -2, -2) == 'r' then return route end
  return string.sub(route, 1, -3) .. string.upper(string.sub(route, -2, -2)) .. string.sub(route, -1)
end

function ranges.count_open(block, first, last)
  local _, closed = string.gsub(string.sub(block.letters, first + 1, last + 1), '[^Q]', '')
  return last - first + 1 - closed
end

function ranges.queue_rest(block, route, first, last)
  -- from here on they are a range of their own
  local open = ranges.count_open(block, first, last)
  if open == 0 then return end
  block.split = block.split + 1
  block.ranges = string.sub(block.ranges, 1, first) .. string.rep(string.char(block.split), last - first + 1)
    .. string.sub(block.ranges, last + 2)
  redis.call('HSET', block.hash, 'g', block.ranges, 'G', block.split)
  ranges.queue(block, block.split, ranges.route_of_rest(route), first, last, open)
end

function ranges.wait_again(block, range_id, route, first, last, open)
  local ticket = ranges.ticket(block, range_id, ranges.route_of_rest(route), first, last)
  redis.call('HSET', P .. 'r:' .. range_id, 'e', ticket)
  blocks.count_more(split_ticket(ticket), open - 1)
end

function ranges.requeue(block, range_id, ticket, first, last)
  -- as it is, first in line
  local open = ranges.count_open(block, first, last)
  take_off(ticket)
  local route = split_ticket(ticket)
  ranges.wait_no_more(range_id, route, open)
  ranges.wait_again(block, range_id, route, first, last, open)
end

ranges.counted = {} -- those that this script has claimed, and that count as waiting nowhere

function ranges.claim(range_id, ticket)
  -- somebody got its message: it enters a stream, from where it is handed out; returns the route of that
  local current, first, last, _, block = ranges.read(range_id)
  if current ~= ticket then return nil end
  local carried_by = split_ticket(ticket)
  local route = string.sub(carried_by, 2)
  local open = block and ranges.count_open(block, first, last) or #ranges.open_places(range_id)
  blocks.count_more(carried_by, -open)
  drop('awaited:' .. queue_of(route), range_id)
  ranges.counted[range_id] = true
  if not block then blocks.count_more(route, open - 1) end -- they are counted off one by one
  redis.call('HSET', P .. 'r:' .. range_id, 'e', route .. ' ' .. ranges.add(route, range_id))
  return route
end

function ranges.wait_no_more(range_id, route, open)
  if ranges.counted[range_id] then ranges.counted[range_id] = nil else blocks.count_more(route, 1 - open) end
end

-- What a worker has and gives back unstarted, from a place on to the end of its range, waits as a range of its own, first in
-- line as all that comes back; if that is all of it, it is the same range again.
function ranges.give_back(block, range_id, ticket, first, last, from)
  local route = split_ticket(ticket)
  local again = string.sub(route, 1, -3) .. 'r' .. string.sub(route, -1)
  local open = ranges.count_open(block, from, last)
  if from > first then
    redis.call('HSET', P .. 'r:' .. range_id, 'T', from - 1)
    blocks.count_more(route .. '!', -open)
    ranges.queue_rest(block, again, from, last)
    return blocks.close_range(range_id, block)
  end
  take_off(ticket)
  blocks.count_more(route .. '!', 1 - open)
  redis.call('HDEL', P .. 'r:' .. range_id, 'h')
  ranges.wait_again(block, range_id, again, first, last, open)
end

function ranges.last_of(block, places, first, last)
  -- the place from which on nothing is open but these, which all wait in the block
  local given = {}
  for at = 1, #places do given[string.byte(places, at)] = true end
  local from = last + 1
  for place = last, first, -1 do
    local letter = blocks.letter(block, place)
    if letter == '-' or (letter == 'Q' and not given[place]) then break end
    if letter == 'Q' then from = place end
  end
  return from
end

function ranges.read(range_id)
  -- its ticket, from where and to where it goes, whether a worker has it, and its block; no block where it is damaged
  -- A block whose last call was moved out may expire while a worker still has that one.
  local ticket, first, last, handed = unpack(look(P .. 'r:' .. range_id, 'e', 'F', 'T', 'h'))
  first, last = number(first, -1), number(last, -1)
  local name = string.sub(range_id, 1, 32)
  local block = blocks.read(name) or handed
    and { name = name, count = blocks.MOST, letters = string.rep('-', blocks.MOST), bodies = false }
  local fits = block and first >= 0 and first <= last and last < block.count and first % 1 == 0 and last % 1 == 0
  return ticket, first, last, handed, fits and block
end

function ranges.open_places(range_id)
  -- those of its calls that are open, as their block has it; as the range itself has it where the block is damaged
  local _, first, last = ranges.read(range_id)
  local block, number_given = blocks.read(string.sub(range_id, 1, 32)), tonumber(string.sub(range_id, 34), 16)
  local found = {}
  for place = 0, blocks.MOST - 1 do
    local of_range = not block and first <= place and place <= last
    if block and place < block.count and string.byte(block.ranges, place + 1) == number_given then
      of_range = blocks.letter(block, place) == 'Q'
    end
    if of_range then found[#found + 1] = place end
  end
  return found
end

function ranges.revive(range_id)
  -- A worker of an older version took it for a call and gave it up: it waits again. What it counted for was left as it was.
  local key = P .. 'r:' .. range_id
  local _, first, last, _, block = ranges.read(range_id)
  if look(key, 's')[1] ~= 'Z' or not block then return end
  drop('dead', range_id)
  if #ranges.open_places(range_id) == 0 then return redis.call('DEL', key) end
  redis.call('PERSIST', key)
  redis.call('HDEL', key, 'o', 'c', 'a', 'v', 'x', 'z', 'h', 'r')
  redis.call('HSET', key, 's', 'Q', 'b', '', 'm', ONLY_NEWER, 'e', ranges.ticket(block, range_id, block.route, first, last))
end

function ranges.drop(range_id, ticket, handed, left)
  -- with what it counted for: `left` calls that are not open under it any more
  take_off(ticket)
  local route = split_ticket(ticket)
  if handed then blocks.count_more(route .. '!', 1 - left) else ranges.wait_no_more(range_id, route, left) end
  redis.call('DEL', P .. 'r:' .. range_id)
end
