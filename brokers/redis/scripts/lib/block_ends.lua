-- block_ends: many calls of a block end at once: the piece of it that a worker has done.
-- needs: ends blocks
local pieces_of = setmetatable({}, { __index = function(pieces_of, name) -- when the first of them is called, as in chains.lua
  setmetatable(pieces_of, nil)

  function pieces_of.fence(piece, block)
    -- which of its places count: those that are open, under the ticket that their range has now
    local ticket, range_id, _, places = unpack(piece, 1, 4)
    local hash = P .. 'r:' .. range_id
    local current, first, last = unpack(look(hash, 'e', 'F', 'T'))
    if current ~= ticket then return {} end
    first, last = number(first, 0), number(last, -1)
    local valid, seen = {}, {}
    for at = 1, #places do
      local place = string.byte(places, at)
      valid[at] = not seen[place] and place >= first and place <= last and blocks.letter(block, place) == 'Q'
      seen[place] = true
    end
    return valid
  end

  function pieces_of.count(block, letters)
    for letter in string.gmatch(letters, '.') do
      local name = letter .. ':' .. block.task
      counts[name] = (counts[name] or 0) + 1
    end
  end

  function pieces_of.store(block, places, letters, outcomes, ttl)
    local written = block.written + 1
    local now_letters, pieces = { string.byte(block.letters, 1, -1) }, { string.byte(block.pieces, 1, -1) }
    for at = 1, #places do
      local place = string.byte(places, at) + 1
      now_letters[place] = string.byte(letters, at)
      pieces[place] = written
    end
    block.letters, block.pieces = string.char(unpack(now_letters)), string.char(unpack(pieces))
    block.written, block.ttl = written, math.max(block.ttl, ttl)
    redis.call('HSET', block.hash, 'L', block.letters, 'p', block.pieces, 'c', written, 'k', block.ttl,
      'o' .. written, outcomes, 'i' .. written, places)
  end

  function pieces_of.among(places, letters, first, last)
    -- how many of these places are in a note, and the first that did not complete
    local count, failed = 0, nil
    for at = 1, #places do
      local place = string.byte(places, at)
      if first <= place and place <= last then
        count = count + 1
        if string.sub(letters, at, at) ~= 'C' then failed = failed or place end
      end
    end
    return count, failed
  end

  function pieces_of.behind(places, first, last, at)
    -- where those that wait for these stand in their own block; nil: anywhere
    if type(at) ~= 'number' or at < 0 then return nil end
    local behind = {}
    for index = 1, #places do
      local place = string.byte(places, index)
      if first <= place and place <= last then behind[#behind + 1] = at + place - first end
    end
    return behind
  end

  function pieces_of.release(block, places, letters, ttl)
    if not block.awaited then return end
    local left = {}
    for _, note in ipairs(blocks.notes_of(block)) do
      local first, last, waiting, goes_on, at = unpack(note, 1, 5)
      local count, failed = pieces_of.among(places, letters, first, last)
      if count > 0 and blocks.is_name(waiting) then
        blocks.wake(waiting, pieces_of.behind(places, first, last, at), ttl)
      elseif count > 0 then
        release_from(count, waiting, goes_on, blocks.member(block.name, failed or first), not failed, ttl)
      end
      if string.find(string.sub(block.letters, first + 1, last + 1), 'Q', 1, true) then left[#left + 1] = cmsgpack.pack(note) end
    end
    local key = P .. 'd:' .. block.name
    redis.call('DEL', key)
    block.awaited = left[1] and block.awaited
    if left[1] then redis.call('RPUSH', key, unpack(left)) end
  end

  function pieces_of.chosen(text, valid)
    local parts = {}
    for at = 1, #text do
      if valid[at] then parts[#parts + 1] = string.sub(text, at, at) end
    end
    return table.concat(parts)
  end

  function pieces_of.conclude(block, range_id, counted, places, letters, packed, ttl)
    -- `counted`: where they were counted, the route of what waits or that of what is held; no range: they waited for others
    pieces_of.store(block, places, letters, packed, ttl)
    if block.inboxes then blocks.notify(block.inboxes, block.name, places, letters, packed) end
    blocks.changed(block.name, places, letters)
    pieces_of.count(block, letters)
    pieces_of.release(block, places, letters, ttl)
    if range_id then
      blocks.count_more(counted, -#places)
      blocks.close_range(range_id, block)
    else
      blocks.sources.stop_waiting(block, { string.byte(places, 1, -1) })
    end
    blocks.expire(block)
  end

  -- Ends the calls of a piece that its ticket still names. The others, in the form of single acks, are for the caller: they
  -- were moved out meanwhile, or have ended.
  function pieces_of.finish(piece, ttl)
    local ticket, range_id, _, places, letters, _, packed = unpack(piece, 1, 7)
    local block = blocks.read(string.sub(range_id, 1, 32))
    local valid, left, done = block and pieces_of.fence(piece, block) or {}, {}, 0
    for at = 1, #places do
      if valid[at] then done = done + 1 end
    end
    if done < #places then
      local outcomes, kept = unpacked(packed), {}
      for at = 1, #places do
        local place = string.byte(places, at)
        if valid[at] then
          kept[#kept + 1] = outcomes[at]
        else
          local id = blocks.member(string.sub(range_id, 1, 32), place)
          left[#left + 1] = { blocks.ticket(ticket, place, range_id), id, string.sub(letters, at, at), outcomes[at], ttl, 0, '', 0, '' }
        end
      end
      places, letters, packed = pieces_of.chosen(places, valid), pieces_of.chosen(letters, valid), cmsgpack.pack(kept)
    end
    if done > 0 then pieces_of.conclude(block, range_id, split_ticket(ticket) .. '!', places, letters, packed, ttl) end
    return left
  end

  -- Many calls of a block that nobody has are ended for one reason: where they are. `add` says whether it is one of these: its
  -- letter.
  pieces_of.ending = {} -- places by range

  function pieces_of.add_waiting(block, place)
    -- for others: it is in no range
    local found = pieces_of.ending[block.name] or { block = block, list = {}, seen = {} }
    pieces_of.ending[block.name] = found
    if not found.seen[place] then found.list[#found.list + 1] = string.char(place) end
    found.seen[place] = true
    return 'P'
  end

  function pieces_of.add(id)
    local block, place, letter = blocks.find(id)
    if letter == 'P' then return pieces_of.add_waiting(block, place) end
    if letter ~= 'Q' then return false end
    local range_id = blocks.range(block, string.byte(block.ranges, place + 1))
    local found = pieces_of.ending[range_id]
    if not found then
      local ticket, handed = unpack(look(P .. 'r:' .. range_id, 'e', 'h'))
      found = { block = block, route = not handed and split_ticket(ticket), list = {}, seen = {} }
      pieces_of.ending[range_id] = found
    end
    if not found.route or found.route == '' then return false end
    if not found.seen[place] then found.list[#found.list + 1] = string.char(place) end
    found.seen[place] = true
    return letter
  end

  function pieces_of.end_added(letter, outcome, ttl)
    for range_id, found in pairs(pieces_of.ending) do
      local count, outcomes = #found.list, {}
      for at = 1, count do outcomes[at] = outcome end
      local letters, packed = string.rep(letter, count), cmsgpack.pack(outcomes)
      if count > 0 then
        pieces_of.conclude(found.block, found.route and range_id, found.route, table.concat(found.list), letters, packed, ttl)
      end
    end
    pieces_of.ending = {}
  end

  return pieces_of[name]
end })
