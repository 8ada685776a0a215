-- blocks: calls of one map are kept together, `b:<block>`: the frame once, one letter per call, and the outcomes in pieces as
-- they came. A run's id says whether it may be in a block (version 8), in which (its first 32 characters) and where (the
-- last 4). What is queued is a range of a block: `r:<block>r<number>`, which one entry of a queue names.
-- Whatever happens to one call alone moves it out: its letter becomes `-`, and it has a record like any other run.
-- Calls that wait for others (see sources.lua) have the letter Q all the same, for older readers, and are in no range.
-- needs: tickets sources
blocks.MOST = 128
blocks.MOST_NOTES = 512 -- so many are looked at whenever calls end; who comes later moves out the call that it waits for
blocks.known = {} -- those that this script has read

-- 'r', which is in no id; 's' where calls have upstreams: what an older worker takes for a call that it must not run
function blocks.is_range(id) return string.byte(id, 33) == 114 or string.byte(id, 33) == 115 end
function blocks.is_name(id) return #id == 32 and string.byte(id, 15) == 56 end
function blocks.member(name, place) return string.format('%s%04x', name, place) end
function blocks.range(block, count) return string.format('%s%s%03x', block.name, block.sources and 's' or 'r', count) end
function blocks.ticket(ticket, place, range_id) return string.format('%s/%02x%s', ticket, place, range_id) end

function blocks.counted(field) return math.floor(math.min(math.max(0, number(field, 0)), 315360000000)) end

function blocks.read(name)
  -- false where there is none, or somebody damaged it
  local block = blocks.known[name]
  if block ~= nil then return block end
  local hash = P .. 'b:' .. name
  local count, letters, ranges, pieces, task, route, flow_run, inboxes, meta, split, written, ttl, awaited, kept,
    deliveries, came, waiting, sources =
      unpack(look(hash, 'n', 'L', 'g', 'p', 't', 'q', 'f', 'w', 'm', 'G', 'c', 'k', 'd', 'K', 'y', 'a', 'W', 'u'))
  count = number(count, 0)
  blocks.known[name] = false
  if count < 1 or count > blocks.MOST or not task or not route or not string.match(route, '^.+:%a%a$') then
    return false
  end
  if not letters or #letters ~= count or not ranges or #ranges ~= count or not pieces or #pieces ~= count then
    return false
  end
  if waiting and #waiting ~= count then return false end
  if blocks.counted(written) > count or blocks.counted(split) > count then return false end
  block = { name = name, hash = hash, count = count, letters = letters, ranges = ranges, pieces = pieces, task = task,
    route = route, flow_run = flow_run, inboxes = inboxes, meta = meta, split = blocks.counted(split),
    written = blocks.counted(written), ttl = blocks.counted(ttl), awaited = awaited, kept = kept,
    deliveries = deliveries, came = number(came, 0), waiting = waiting, sources = sources }
  blocks.known[name] = block
  return block
end

function blocks.letter(block, place) return string.sub(block.letters, place + 1, place + 1) end
function blocks.with(text, place, char) return string.sub(text, 1, place) .. char .. string.sub(text, place + 2) end

function blocks.of(id)
  -- the block of a run, also if it was moved out of it
  if string.byte(id, 15) ~= 56 or blocks.is_range(id) then return nil end
  return blocks.read(string.sub(id, 1, 32)) or nil
end

function blocks.find(id)
  -- the block, the place in it, and the letter there; nothing for a run that has a record of its own, or none at all
  if string.byte(id, 15) ~= 56 or blocks.is_range(id) then return nil end
  local hex = string.match(id, '^%x%x%x%x$', 33) -- nothing else that happens to be the same number
  local block = hex and hex == string.lower(hex) and blocks.read(string.sub(id, 1, 32))
  local place = block and tonumber(hex, 16)
  if not place or place >= block.count then return nil end
  local letter = blocks.letter(block, place)
  if letter == '-' then return nil end
  if letter == 'Q' and blocks.waits(block, place) then letter = 'P' end
  return block, place, letter
end

function blocks.end_of_body(block, place)
  local a, b, c, d = string.byte(block.ends, 4 * place + 1, 4 * place + 4)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

function blocks.load_bodies(block)
  -- false where they are damaged
  if block.bodies == nil then
    local bodies, ends = unpack(look(block.hash, 'b', 'l'))
    local fits = bodies and ends and #ends == 4 * block.count
    block.bodies, block.ends = fits and bodies, fits and ends
    if fits and blocks.end_of_body(block, block.count - 1) ~= #bodies then block.bodies = false end
  end
  return block.bodies
end

function blocks.begin_of_body(block, place) return place == 0 and 0 or blocks.end_of_body(block, place - 1) end

function blocks.body(block, place)
  if not blocks.load_bodies(block) then return '' end -- whoever gets it says that it is none
  return string.sub(block.bodies, blocks.begin_of_body(block, place) + 1, blocks.end_of_body(block, place))
end

function blocks.outcome(block, place)
  -- false where it is lost
  local piece = string.byte(block.pieces, place + 1)
  block.outcomes = block.outcomes or {}
  local found = block.outcomes[piece]
  if not found then
    local outcomes, placed = unpack(look(block.hash, 'o' .. piece, 'i' .. piece))
    found = { outcomes and unpacked(outcomes) or {}, placed or '' }
    block.outcomes[piece] = found
  end
  local outcomes, placed = unpack(found)
  local at = string.find(placed, string.char(place), 1, true)
  local outcome = at and outcomes[at]
  return type(outcome) == 'string' and outcome
end

-- How many calls wait in a route beyond its entries, since an entry may name many; `<route>!`: how many are held. So it is
-- with messages of another broker, `@<route>`, each of which is counted as one.
function blocks.count_more(route, by)
  if is_carried(route) then return by ~= 0 and count_up(P .. 'carried', queue_of(string.sub(route, 2)), by) end
  if by ~= 0 and count_up(P .. 'more', route, by) == 0 then redis.call('HDEL', P .. 'more', route) end
end

function blocks.more(route, held)
  return number(look(P .. 'more', held and route .. '!' or route)[1], 0)
end

function blocks.expire(block)
  -- when the last of its calls has ended or was moved out, and none of these waits
  if string.find(block.letters, 'Q', 1, true) then return end
  if block.sources and not blocks.sources.close(block) then return end
  if block.awaited then redis.call('DEL', P .. 'd:' .. block.name) end
  local ttl = block.ttl > 0 and block.ttl or DAY
  if block.kept then put('kept', now + ttl, block.name) else redis.call('PEXPIRE', block.hash, ttl) end
end

-- A range is over when none of its calls is open any more, and none that was moved out runs under its ticket.
function blocks.close_range(range_id, block)
  local hash = P .. 'r:' .. range_id
  local ticket, first, last, apart_still, handed = unpack(look(hash, 'e', 'F', 'T', 'k', 'h'))
  if not ticket or number(apart_still, 0) > 0 then return end
  local open = block and string.find(block.letters, 'Q', number(first, 0) + 1, true)
  if open and open <= number(last, 0) + 1 then return end
  take_off(ticket)
  local route = split_ticket(ticket)
  blocks.count_more(handed and route .. '!' or route, 1)
  redis.call('DEL', hash)
end

function blocks.left(_, member)
  -- a call that was moved out while a worker had it has ended, or waits again
  local place, range_id = string.sub(member, 1, 2), string.sub(member, 3)
  local hash = P .. 'r:' .. range_id
  local ticket = look(hash, 'e')[1]
  if not ticket or redis.pcall('HDEL', hash, 'm' .. place) ~= 1 then return end
  count_up(hash, 'k', -1)
  blocks.count_more(split_ticket(ticket) .. '!', -1)
  blocks.close_range(range_id, blocks.read(string.sub(range_id, 1, 32)))
end

function blocks.write_moved(block, place, id, letter)
  local fields = { 's', letter == 'P' and 'P' or 'Q', 't', block.task, 'q', block.route, 'b', blocks.body(block, place) }
  local upstreams = block.sources and blocks.sources.take_along(block, place, id, letter)
  for name, value in pairs({ f = block.flow_run, w = block.inboxes, m = block.meta, y = block.deliveries, u = upstreams,
    n = letter == 'P' and 1 }) do
    if value then fields[#fields + 1] = name; fields[#fields + 1] = value end
  end
  set_facts(P .. 'r:' .. id, unpack(fields))
  block.letters = blocks.with(block.letters, place, '-')
  redis.call('HSET', block.hash, 'L', block.letters)
end

function blocks.move_open(block, place, id)
  local range_id = blocks.range(block, string.byte(block.ranges, place + 1))
  local hash = P .. 'r:' .. range_id
  local ticket, handed = unpack(look(hash, 'e', 'h'))
  if ticket and handed then
    redis.call('HSET', P .. 'r:' .. id, 'e', blocks.ticket(ticket, place, range_id))
    redis.call('HSET', hash, string.format('m%02x', place), '1')
    count_up(hash, 'k', 1)
  else
    if not pcall(enqueue, id, false) then -- the mover finds out why, and ends it
      redis.call('HSET', P .. 'r:' .. id, 's', 'D')
      put('delayed', now + 1000, id)
    end
    if ticket then
      blocks.count_more(split_ticket(ticket), -1)
      blocks.close_range(range_id, block)
    end
  end
end

-- Others wait for calls of this block: `d:<block>` has notes { first place, last place, run, whether it goes on after a
-- failure }, packed; of another block that waits its name, true, and the place in it of the call that waits for the first
-- one (-1: all of its calls wait for each). Or they need results: `n:<block>`, as of a single run.
function blocks.notes_of(block)
  local items = block.awaited and redis.pcall('LRANGE', P .. 'd:' .. block.name, 0, 2 * blocks.MOST_NOTES)
  local notes = {}
  for _, item in ipairs(items and not items.err and items or {}) do
    local note = unpacked(item)
    local first, last, waiting = unpack(note, 1, 3)
    if type(first) == 'number' and type(last) == 'number' and type(waiting) == 'string' then notes[#notes + 1] = note end
  end
  return notes
end

function blocks.note(block, first, last, waiting, goes_on, place)
  if not block.awaited then
    block.awaited = '1'
    redis.call('HSET', block.hash, 'd', '1')
  end
  local item = cmsgpack.pack({ first, last, waiting, goes_on and true or false, place })
  if type(redis.pcall('RPUSH', P .. 'd:' .. block.name, item)) ~= 'number' then
    redis.call('DEL', P .. 'd:' .. block.name)
    redis.call('RPUSH', P .. 'd:' .. block.name, item)
  end
end

function blocks.take_users_along(block, place, id, letter)
  if SETTLED[letter] then return end
  if block.kept then redis.call('HSET', P .. 'r:' .. id, 'k', 0) end -- until the block is let go
  for _, note in ipairs(blocks.notes_of(block)) do
    local first, last, waiting, goes_on = unpack(note, 1, 4)
    if first <= place and place <= last then
      redis.call('HSET', P .. 'r:' .. id, 'd', '1')
      redis.pcall('RPUSH', P .. 'd:' .. id, goes_on and waiting .. '!' or waiting)
    end
  end
end

function blocks.keep(block, user)
  -- for somebody who needs a result of it
  if block.user == user then return end
  block.user = user
  redis.pcall('SADD', P .. 'n:' .. block.name, user)
  if block.kept then return end
  block.kept = '1'
  redis.call('HSET', block.hash, 'K', '1')
  if not string.find(block.letters, 'Q', 1, true) then
    redis.call('PERSIST', block.hash)
    blocks.expire(block)
  end
end

function blocks.move_out(id)
  local block, place, letter = blocks.find(id)
  if not block then return end
  local outcome = SETTLED[letter] and (blocks.outcome(block, place) or '\0its outcome was lost')
  blocks.write_moved(block, place, id, letter)
  if letter == 'Q' then
    blocks.move_open(block, place, id)
  elseif outcome then
    redis.call('HSET', P .. 'r:' .. id, 's', letter, 'o', outcome)
    local left = redis.call('PTTL', block.hash)
    left = left > 0 and left or block.ttl > 0 and block.ttl or DAY
    if block.kept then
      redis.call('HSET', P .. 'r:' .. id, 'k', left)
      put('kept', now + left, id)
    else
      redis.call('PEXPIRE', P .. 'r:' .. id, left)
    end
  end
  blocks.take_users_along(block, place, id, letter)
  blocks.expire(block)
end

-- Fields of a run for those that only read: of a call in a block they are put together, and it stays there.
function blocks.look(id, ...)
  local block, place, letter = blocks.find(id)
  if not block then return look(P .. 'r:' .. id, ...) end
  local values = { s = letter, t = block.task, q = block.route, f = block.flow_run, m = block.meta, w = block.inboxes }
  local found = {}
  for at, field in ipairs({ ... }) do
    local value = values[field]
    if field == 'o' then value = SETTLED[letter] and (blocks.outcome(block, place) or '\0its outcome was lost') end
    if field == 'b' then value = blocks.body(block, place) end
    if field == 'u' and block.sources then value = cmsgpack.pack(blocks.sources.taken_at(block, place)) end
    if field == 'e' then
      local range_id = blocks.range(block, string.byte(block.ranges, place + 1))
      local ticket, handed = unpack(look(P .. 'r:' .. range_id, 'e', 'h'))
      value = letter == 'Q' and ticket and (handed and blocks.ticket(ticket, place, range_id) or ticket)
    end
    found[at] = value or false
  end
  return found
end

function blocks.look_at_outcome(id, most)
  -- unless it is longer than so many bytes
  local block, place, letter = blocks.find(id)
  if block then
    local outcome = SETTLED[letter] and blocks.outcome(block, place)
    return outcome and #outcome <= most and outcome or false
  end
  local key = P .. 'r:' .. id
  return redis.call('HSTRLEN', key, 'o') <= most and redis.call('HGET', key, 'o')
end
