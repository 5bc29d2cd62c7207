; Finds the pairs of rows whose int8 codes have a dot product of at least `lowest`.
;
; The products of 32 × 32 rows at a time go into `scratch` (a block); `@products`, which each
; instruction set has its own file for, computes them and returns their maximum by lanes. Most blocks
; have no pair at all: one comparison tells. Scratch is four quarters of 16 × 16 int32: rows 0-15
; with columns 0-15, then with columns 16-31, then rows 16-31 likewise.

declare void @begin()
declare void @end()
declare <16 x i32> @products(ptr, i64, ptr, i64, ptr)
declare i16 @llvm.cttz.i16(i16, i1 immarg)

; left     int8[32 · left_blocks, 64 · chunks]
; right    right_blocks times 32 rows, packed: [2][chunks][16][16][4], see pack() in __init__.py
; found    int32[capacity, 2]: row of the left, row of the right
; position where to go on; where it stopped, because all is done or `found` could overflow
; returns  pairs written
define i64 @scan(ptr %left, i64 %left_blocks, ptr %right, i64 %right_blocks, i64 %chunks,
                 i32 %lowest, ptr %scratch, ptr %found, i64 %capacity, ptr %position) #0 {
entry:
  call void @begin()
  %row_bytes = shl i64 %chunks, 6
  %left_bytes = shl i64 %row_bytes, 5
  %right_bytes = shl i64 %chunks, 11
  %room = sub i64 %capacity, 1024
  %one = insertelement <16 x i32> poison, i32 %lowest, i64 0
  %bar = shufflevector <16 x i32> %one, <16 x i32> poison, <16 x i32> zeroinitializer
  %begun = load i64, ptr %position
  %blocks = mul i64 %left_blocks, %right_blocks
  br label %head

head:
  %at = phi i64 [ %begun, %entry ], [ %at.next, %done ]
  %count = phi i64 [ 0, %entry ], [ %count.done, %done ]
  %more = icmp ult i64 %at, %blocks
  %fits = icmp sle i64 %count, %room
  %go = and i1 %more, %fits
  br i1 %go, label %block, label %exit

block:
  %left.at = udiv i64 %at, %right_blocks
  %right.at = urem i64 %at, %right_blocks
  %left.offset = mul i64 %left.at, %left_bytes
  %right.offset = mul i64 %right.at, %right_bytes
  %a = getelementptr i8, ptr %left, i64 %left.offset
  %b = getelementptr i8, ptr %right, i64 %right.offset
  %highest = call <16 x i32> @products(ptr %a, i64 %row_bytes, ptr %b, i64 %chunks, ptr %scratch)
  %reach = icmp sge <16 x i32> %highest, %bar
  %reach.bits = bitcast <16 x i1> %reach to i16
  %hit = icmp ne i16 %reach.bits, 0
  br i1 %hit, label %lines, label %done

lines:
  %line = phi i64 [ 0, %block ], [ %line.next, %line.done ]
  %count.line = phi i64 [ %count, %block ], [ %count.bits, %line.done ]
  %line.offset = shl i64 %line, 6
  %line.at = getelementptr i8, ptr %scratch, i64 %line.offset
  %values = load <16 x i32>, ptr %line.at, align 64
  %over = icmp sge <16 x i32> %values, %bar
  %over.bits = bitcast <16 x i1> %over to i16
  %row.low = and i64 %line, 15
  %row.quarter = lshr i64 %line, 5
  %row.high = shl i64 %row.quarter, 4
  %row.block = shl i64 %left.at, 5
  %row.part = or i64 %row.low, %row.high
  %row = or i64 %row.part, %row.block
  %row.32 = trunc i64 %row to i32
  %column.high = and i64 %line, 16
  %column.block = shl i64 %right.at, 5
  %column.first = or i64 %column.high, %column.block
  br label %bits

bits:
  %mask = phi i16 [ %over.bits, %lines ], [ %mask.next, %emit ]
  %count.bits = phi i64 [ %count.line, %lines ], [ %count.next, %emit ]
  %any = icmp ne i16 %mask, 0
  br i1 %any, label %emit, label %line.done

emit:
  %bit = call i16 @llvm.cttz.i16(i16 %mask, i1 true)
  %bit.64 = zext i16 %bit to i64
  %column = or i64 %column.first, %bit.64
  %column.32 = trunc i64 %column to i32
  %pair.offset = shl i64 %count.bits, 3
  %pair = getelementptr i8, ptr %found, i64 %pair.offset
  %pair.right = getelementptr i8, ptr %pair, i64 4
  store i32 %row.32, ptr %pair
  store i32 %column.32, ptr %pair.right
  %less = sub i16 %mask, 1
  %mask.next = and i16 %mask, %less
  %count.next = add i64 %count.bits, 1
  br label %bits

line.done:
  %line.next = add i64 %line, 1
  %line.more = icmp ult i64 %line.next, 64
  br i1 %line.more, label %lines, label %done

done:
  %count.done = phi i64 [ %count, %block ], [ %count.bits, %line.done ]
  %at.next = add i64 %at, 1
  br label %head

exit:
  store i64 %at, ptr %position
  call void @end()
  ret i64 %count
}

attributes #0 = { "min-legal-vector-width"="512" "prefer-vector-width"="512" }
